"""What a request needs to know about the server it goes to: where its API is, how it is connected to, what it may be asked.

An image's registry may have several endpoints: mirrors, and at last the registry itself. Values only; which ones there are is
``registry.host_lookup``'s, in which order they are tried ``registry.endpoint_health``'s.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from registry.hosts import api_url, origin


class Capability(Enum):
    """What an endpoint may be asked, in the words of containerd's ``hosts.toml``."""

    PULL = "pull"
    RESOLVE = "resolve"
    PUSH = "push"


ALL_CAPABILITIES: Final = frozenset(Capability)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Who we are, in TLS: a certificate and its key, in PEM files. Without a key file, the key is in the certificate's."""

    certificate: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """How a server is connected to. Requests with equal values may share connections.

    Attributes:
        ca_files: certificates that are trusted, besides the machine's own, in PEM.
        client_certificates: what we show a server that asks who we are.
        verify: whether the server must prove who it is.
        connect_timeout_seconds: for TCP and TLS; None: as for all.
        inactivity_timeout_seconds: how long the server may stay silent; None: as for all.
        revision: changes when one of the files does.
    """

    ca_files: tuple[Path, ...] = ()
    client_certificates: tuple[ClientCertificate, ...] = ()
    verify: bool = True
    connect_timeout_seconds: float | None = None
    inactivity_timeout_seconds: float | None = None
    revision: int = 0

    @property
    def has_tls_settings(self) -> bool:
        """Whether anything is said about TLS."""
        return bool(self.ca_files or self.client_certificates) or not self.verify


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server that has a registry's content.

    Attributes:
        registry: the host that images name.
        base_url: where the server's API is, with a slash at the end.
        connection: how it is connected to.
        capabilities: what it may be asked.
        headers: what every request to it carries; may hold secrets.
    """

    registry: str
    base_url: str
    connection: Connection = field(default_factory=Connection)
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __hash__(self) -> int:
        # Several times for each request; these two make nearly all the difference.
        return hash((self.registry, self.base_url))

    def __str__(self) -> str:
        return self.base_url

    @property
    def host(self) -> str:
        """The server's host, with its port; what its credentials are kept under."""
        return urlsplit(self.base_url).netloc

    @property
    def is_mirror(self) -> bool:
        """Whether this is another server than the registry that images name."""
        return self.host not in {self.registry, urlsplit(api_url(self.registry)).netloc}

    @property
    def login(self) -> str:
        """The name to log in to: a mirror's own, or the registry's as images name it."""
        return self.host if self.is_mirror else self.registry

    def url(self, path: str) -> str:
        """The URL of something below the API's base; mirrors are told whose content is meant (``ns``)."""
        url = self.base_url + path
        if not self.is_mirror:
            return url
        return f"{url}{'&' if '?' in url else '?'}ns={quote(self.registry, safe=':[]')}"

    def owns(self, url: str) -> bool:
        """Whether a URL is this server's: credentials and headers go nowhere else."""
        return origin(url) == origin(self.base_url)

    def headers_for(self, url: str) -> dict[str, str]:
        """The headers that a request to a URL carries; several of one name are joined."""
        headers: dict[str, str] = {}
        for name, value in self.headers if self.owns(url) else ():
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def connection_to(self, url: str) -> Connection:
        """How to connect where this server sends us: whom it trusts is trusted there too, but who we are is told to it alone."""
        if self.owns(url) or not self.connection.client_certificates:
            return self.connection
        return replace(self.connection, client_certificates=())
