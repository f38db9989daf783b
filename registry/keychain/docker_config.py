"""The JSON in which docker, podman, nerdctl and Kubernetes keep credentials. Without I/O.

``config.json`` and ``auth.json`` (also the Secret ``.dockerconfigjson``) have them under ``auths``, and name helper programs; the older
``.dockercfg`` is that table alone. Errors never quote what they stumbled over.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from registry.errors import CredentialsError
from registry.keychain.credential_keys import CredentialKey, fitting_keys, normalize_host
from registry.keychain.credentials import CredentialQuestion, Credentials, SecretKind

MAX_CONFIG_BYTES: Final = 1 << 20

_T = TypeVar("_T")


class Login(msgspec.Struct):
    """One entry of ``auths``, as it is written."""

    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def __repr__(self) -> str:
        return "<Login>"

    def credentials(self, origin: str) -> Credentials | None:
        """What the entry holds; None where it holds nothing, as those that helpers keep.

        Raises:
            ValueError: ``auth`` is not what it should be.
        """
        if self.registrytoken:
            return Credentials("", self.registrytoken, SecretKind.REGISTRY_TOKEN, origin)
        if self.identitytoken:
            kind = SecretKind.IDENTITY_TOKEN
            return Credentials(self.username, self.identitytoken, kind, origin)
        if self.username and self.password:
            return Credentials(self.username, self.password, origin=origin)
        if not self.auth:
            return None
        credentials = Credentials.from_base64(self.auth, origin=origin)
        if credentials is None:
            raise ValueError("is not base64 of USER:PASSWORD")
        return credentials


class DockerConfig(msgspec.Struct, rename="camel"):
    """What is of use in a ``config.json``."""

    auths: dict[str, Login] = {}
    creds_store: str = ""
    cred_helpers: dict[str, str] = {}

    def helpers(self, question: CredentialQuestion) -> Iterator[str]:
        """The helper programs to ask, the one for this host first."""
        host = normalize_host(question.host)
        for key, helper in self.cred_helpers.items():
            if CredentialKey.parse(key).host == host and helper:
                yield helper
        if self.creds_store:
            yield self.creds_store


def parse_docker_config(raw: bytes, *, source: str) -> DockerConfig:
    """Reads a ``config.json``, ``auth.json`` or ``.dockerconfigjson``.

    Raises:
        CredentialsError: it is not one.
    """
    return _decode(raw, DockerConfig, source)


def parse_dockercfg(raw: bytes, *, source: str) -> DockerConfig:
    """Reads a ``.dockercfg``.

    Raises:
        CredentialsError: it is not one.
    """
    return DockerConfig(auths=_decode(raw, dict[str, Login], source))


def login_offers(
    logins: Mapping[str, Login], question: CredentialQuestion, *, source: str
) -> Iterator[Credentials | CredentialsError]:
    """The entries that are meant for an image, the most precise one first."""
    for key in fitting_keys(logins, question):
        origin = f"{source}, {key.text}"
        try:
            credentials = logins[key.text].credentials(origin)
        except ValueError as error:
            yield CredentialsError(source, f'auths."{key.text}".auth {error}')
            continue
        if credentials is not None:
            yield credentials


def _decode(raw: bytes, kind: type[_T], source: str) -> _T:
    if len(raw) > MAX_CONFIG_BYTES:
        raise CredentialsError(source, "it is too large")
    try:
        return msgspec.json.decode(raw.strip() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's message may quote what it stumbled over.
        raise CredentialsError(source, "it is not a docker configuration in JSON") from None
