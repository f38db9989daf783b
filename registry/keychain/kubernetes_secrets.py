"""Image pull secrets of Kubernetes, kept in memory by whoever watches them. Without I/O; from any thread."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.docker_config import (
    DockerConfig,
    login_offers,
    parse_docker_config,
    parse_dockercfg,
)


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
    """The Secrets there are. A ``CredentialSource``; of several for one image, the first by namespace and name comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[SecretName, DockerConfig | CredentialsError] = {}

    def __repr__(self) -> str:
        return f"<KubernetesSecrets {len(self._kept)}>"

    def __str__(self) -> str:
        return "Kubernetes secrets"

    def put(self, name: SecretName, kind: SecretType, content: bytes) -> None:
        """Keeps a Secret's content (decoded from base64); a broken one is told whenever credentials are wanted."""
        parse = parse_docker_config if kind is SecretType.DOCKER_CONFIG_JSON else parse_dockercfg
        kept: DockerConfig | CredentialsError
        try:
            kept = parse(content, source=str(name))
        except CredentialsError as error:
            kept = error
        with self._lock:
            self._kept[name] = kept

    def forget(self, name: SecretName) -> None:
        """Drops a Secret."""
        with self._lock:
            self._kept.pop(name, None)

    def keep_only(self, names: frozenset[SecretName]) -> None:
        """Drops all others, as after the list was read anew."""
        with self._lock:
            for name in self._kept.keys() - names:
                del self._kept[name]

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``."""
        with self._lock:
            kept = sorted(self._kept.items())
        for name, secret in kept:
            if isinstance(secret, CredentialsError):
                yield secret
            else:
                yield from login_offers(secret.auths, question, source=str(name))
