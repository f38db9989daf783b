"""Which entry of a table of credentials is meant for an image: hosts, hosts with a path, and hosts with ``*``. Without I/O.

Sources: docker's ``config.json`` (keys are hosts, and were URLs once), containers-auth.json(5) (keys may have a path, the longest that
fits counts), Kubernetes' image credentials (``*`` stands for a part of the host between dots, ports must be equal).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Self

from registry.keychain.credentials import CredentialQuestion

DOCKER_HUB: Final = "docker.io"
# What docker and its helpers call it.
DOCKER_HUB_URL: Final = "https://index.docker.io/v1/"

_DOCKER_HUB_NAMES: Final = frozenset(
    {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
)
_API_PATHS: Final = frozenset({"v1", "v2"})


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """A key, taken apart.

    Attributes:
        text: the key as it is written.
        host: a host with its port, in lower case; ``*`` stands for what is between two dots.
        path: the part of the repository's name that must be there, whole components.
        is_url: whether a scheme was written, as old versions of docker did; the path means nothing then.
    """

    text: str
    host: str
    path: str
    is_url: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Takes a key apart; whatever is no host fits none."""
        _, scheme, rest = text.strip().rpartition("://")
        host, _, path = rest.partition("/")
        path = path.strip("/")
        first, _, others = path.partition("/")
        if first in _API_PATHS:
            path = others
        return cls(text, normalize_host(host), path, bool(scheme))

    def fits(self, question: CredentialQuestion) -> bool:
        """Whether the key is meant for an image on a host."""
        if not _host_fits(self.host, normalize_host(question.host)):
            return False
        return not self.path or f"{question.repository.name}/".startswith(f"{self.path}/")

    def fits_host(self, question: CredentialQuestion) -> bool:
        """Whether the key is a URL on the host, whatever its path; as docker reads it."""
        return self.is_url and self.host == normalize_host(question.host)

    @property
    def precision(self) -> tuple[int, bool, int]:
        """The more precise key counts: the longer path, then the host without ``*``."""
        return len(self.path), "*" not in self.host, len(self.host)


def normalize_host(host: str) -> str:
    """One name for each host: docker hub has several."""
    host = host.lower()
    return DOCKER_HUB if host in _DOCKER_HUB_NAMES else host


def fitting_keys(keys: Iterable[str], question: CredentialQuestion) -> Iterator[CredentialKey]:
    """The keys that are meant for an image, the most precise one first."""
    parsed = [CredentialKey.parse(key) for key in keys]
    fitting = [key for key in parsed if key.fits(question)]
    yield from sorted(fitting, key=lambda key: key.precision, reverse=True)
    yield from (key for key in parsed if key not in fitting and key.fits_host(question))


def _host_fits(pattern: str, host: str) -> bool:
    pattern_name, pattern_port = _split_port(pattern)
    name, port = _split_port(host)
    if pattern_port != port:
        return False
    if "*" not in pattern_name:
        return pattern_name == name
    patterns, parts = pattern_name.split("."), name.split(".")
    return len(patterns) == len(parts) and all(map(fnmatchcase, parts, patterns))


def _split_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")
