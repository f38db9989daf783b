"""The kubelet's ``CredentialProviderConfig``: which program knows credentials for which images. Without I/O.

Source: kubernetes.io, "Configure a kubelet image credential provider"; ``kubelet.config.k8s.io/v1`` and its betas.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec
import yaml

from registry.errors import CredentialsError
from registry.go_duration import parse_go_duration
from registry.keychain.credential_keys import CredentialKey, fitting_keys
from registry.keychain.credentials import CredentialQuestion

MAX_CONFIG_BYTES: Final = 1 << 20

_GROUP: Final = "credentialprovider.kubelet.k8s.io/"
_VERSIONS: Final = frozenset({f"{_GROUP}v1", f"{_GROUP}v1beta1", f"{_GROUP}v1alpha1"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class CacheKeyType(Enum):
    """For what else an answer is good."""

    IMAGE = "Image"
    REGISTRY = "Registry"
    GLOBAL = "Global"


@dataclass(frozen=True, slots=True)
class Provider:
    """One program.

    Attributes:
        name: its file name in the directory of such programs.
        api_version: of the protocol it speaks.
        match_images: for which images it is asked.
        default_cache_seconds: how long answers are good that do not say so.
        arguments: its command line.
        environment: variables besides ours.
    """

    name: str
    api_version: str
    match_images: tuple[str, ...]
    default_cache_seconds: float
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def fits(self, question: CredentialQuestion) -> bool:
        """Whether the program is asked about an image."""
        return any(CredentialKey.parse(pattern).fits(question) for pattern in self.match_images)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a program answered: entries by image pattern, and for what and how long they are good."""

    auth: dict[str, tuple[str, str]] = field(repr=False)
    cache_key_type: CacheKeyType
    cache_seconds: float | None

    def choose(self, question: CredentialQuestion) -> tuple[str, str, str] | None:
        """Pattern, user and password for an image, by the most precise pattern."""
        for key in fitting_keys(self.auth, question):
            return key.text, *self.auth[key.text]
        return None


def parse_providers(raw: bytes, *, source: str) -> tuple[Provider, ...]:
    """Reads a configuration, in YAML or JSON.

    Raises:
        CredentialsError: it is not one, or a provider in it cannot be used; the error names which.
    """
    if len(raw) > MAX_CONFIG_BYTES:
        raise CredentialsError(source, "it is too large")
    try:
        document = yaml.safe_load(raw)
        config = msgspec.convert(document, _Config)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise CredentialsError(source, "it is not YAML") from None
    except msgspec.ValidationError as error:
        raise CredentialsError(source, str(error)) from None
    if config.kind != "CredentialProviderConfig":
        raise CredentialsError(source, "its kind is not CredentialProviderConfig")
    return tuple(_parse_provider(entry, source) for entry in config.providers)


def dump_request(question: CredentialQuestion, *, api_version: str) -> bytes:
    """The question, as a provider reads it."""
    request = {
        "kind": "CredentialProviderRequest",
        "apiVersion": api_version,
        "image": f"{question.host}/{question.repository.name}",
    }
    return msgspec.json.encode(request)


def parse_answer(raw: bytes, *, source: str) -> ProviderAnswer:
    """Reads a provider's answer; the error never quotes it.

    Raises:
        CredentialsError: it is none.
    """
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
        seconds = (
            None if answer.cache_duration is None else parse_go_duration(answer.cache_duration)
        )
        cache_key_type = CacheKeyType(answer.cache_key_type)
    except (ValueError, RecursionError):  # the decoder's errors are ValueErrors
        raise CredentialsError(source, "its answer is no CredentialProviderResponse") from None
    entries = {key: (entry.username, entry.password) for key, entry in (answer.auth or {}).items()}
    return ProviderAnswer(entries, cache_key_type, seconds)


class _Variable(msgspec.Struct):
    name: str
    value: str = ""


class _Provider(msgspec.Struct, rename="camel"):
    name: str
    api_version: str
    match_images: list[str]
    default_cache_duration: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    token_attributes: dict[str, Any] | None = None


class _Config(msgspec.Struct):
    kind: str = ""
    providers: list[_Provider] = []


class _Auth(msgspec.Struct):
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "<_Auth>"


class _Answer(msgspec.Struct, rename="camel"):
    cache_key_type: str
    cache_duration: str | None = None
    auth: dict[str, _Auth] | None = None

    def __repr__(self) -> str:
        return "<_Answer>"


def _parse_provider(entry: _Provider, source: str) -> Provider:
    def error(reason: str) -> CredentialsError:
        return CredentialsError(source, f"provider {entry.name!r}: {reason}")

    if not _NAME.fullmatch(entry.name):
        raise error("its name is not that of a file")
    if entry.api_version not in _VERSIONS:
        raise error(f"apiVersion {entry.api_version!r} is not {_GROUP}v1")
    if not entry.match_images:
        raise error("matchImages is empty")
    if entry.token_attributes is not None:
        raise error("tokenAttributes wants the token of a pod, which is not known here")
    try:
        seconds = parse_go_duration(entry.default_cache_duration)
    except ValueError as invalid:
        raise error(f"defaultCacheDuration {invalid}") from None
    return Provider(
        entry.name,
        entry.api_version,
        tuple(entry.match_images),
        seconds,
        tuple(entry.args or ()),
        tuple((variable.name, variable.value) for variable in entry.env or ()),
    )
