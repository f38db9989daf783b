"""Image pull secrets of Kubernetes, kept in memory by whoever watches them. Without I/O; from any thread."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.docker_config import (
    DockerConfig,
    login_offers,
    parse_docker_config,
    parse_dockercfg,
)

# How long who wants credentials waits for a list that was just asked for, as when the daemon has started.
FIRST_LIST_SECONDS: Final = 5.0


class SecretType(Enum):
    """The types of Secrets that hold credentials of registries."""

    DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
    DOCKERCFG = "kubernetes.io/dockercfg"

    @property
    def data_key(self) -> str:
        """Where in ``data`` a Secret of this type has its content."""
        return ".dockerconfigjson" if self is SecretType.DOCKER_CONFIG_JSON else ".dockercfg"


@dataclass(frozen=True, slots=True, order=True)
class SecretName:
    """A Secret's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"secret {self.namespace}/{self.name}"


class KubernetesSecrets:
    """The Secrets there are. A ``CredentialSource``; of several for one image, the first by namespace and name comes first.

    Each type is read and watched by itself. Where reading it fails, what is known of it holds, and the failure is offered too.
    """

    def __init__(self, *, first_list_seconds: float = FIRST_LIST_SECONDS) -> None:
        self._first_list_seconds = first_list_seconds
        self._changed = threading.Condition()
        self._kept: dict[SecretType, dict[SecretName, DockerConfig | CredentialsError]] = {
            kind: {} for kind in SecretType
        }
        self._awaited: frozenset[SecretType] = frozenset()
        self._failures: dict[SecretType, CredentialsError] = {}

    def __repr__(self) -> str:
        failing = ", failing" if self._failures else ""
        return f"<KubernetesSecrets {sum(map(len, self._kept.values()))}{failing}>"

    def __str__(self) -> str:
        return "Kubernetes secrets"

    def begin(self) -> None:
        """Says that all types are about to be listed: for a short while it is worth waiting for that."""
        with self._changed:
            self._awaited = frozenset(SecretType)

    def end(self) -> None:
        """Forgets everything: nobody watches any more."""
        with self._changed:
            for kept in self._kept.values():
                kept.clear()
            self._failures.clear()
            self._settle(*SecretType)

    def replace(self, kind: SecretType, contents: Mapping[SecretName, bytes]) -> None:
        """All Secrets of a type, as they were listed (decoded from base64)."""
        fresh = {name: _parse(name, kind, content) for name, content in contents.items()}
        with self._changed:
            self._kept[kind] = fresh
            self._failures.pop(kind, None)
            self._settle(kind)

    def put(self, name: SecretName, kind: SecretType, content: bytes) -> None:
        """Keeps a Secret's content (decoded from base64); a broken one is told whenever credentials are wanted."""
        kept = _parse(name, kind, content)
        with self._changed:
            self._kept[kind][name] = kept

    def forget(self, name: SecretName, kind: SecretType) -> None:
        """Drops a Secret."""
        with self._changed:
            self._kept[kind].pop(name, None)

    def fail(self, kind: SecretType, failure: CredentialsError) -> None:
        """Says that a type cannot be read; what is known of it holds."""
        with self._changed:
            self._failures[kind] = failure
            self._settle(kind)

    def recover(self, kind: SecretType) -> None:
        """Says that a type is watched again."""
        with self._changed:
            self._failures.pop(kind, None)

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, self._first_list_seconds)
            everything = [item for kept in self._kept.values() for item in kept.items()]
            failures = tuple(self._failures.values())
        for name, secret in sorted(everything, key=lambda item: item[0]):
            if isinstance(secret, CredentialsError):
                yield secret
            else:
                yield from login_offers(secret.auths, question, source=str(name))
        yield from failures

    def _settle(self, *kinds: SecretType) -> None:
        self._awaited -= frozenset(kinds)
        self._changed.notify_all()


def _parse(name: SecretName, kind: SecretType, content: bytes) -> DockerConfig | CredentialsError:
    parse = parse_docker_config if kind is SecretType.DOCKER_CONFIG_JSON else parse_dockercfg
    try:
        return parse(content, source=str(name))
    except CredentialsError as error:
        return error
