"""Where a registry's API is, as a URL, and which URLs belong together."""

import ipaddress
from functools import lru_cache
from urllib.parse import SplitResult, urljoin, urlsplit

MAX_URL_CHARACTERS = 16 << 10

_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Each range request asks the same few questions again, and taking URLs apart is slow.
_MAX_KEPT = 1024


def api_url(host: str, *, plain_http_hosts: frozenset[str] = frozenset()) -> str:
    """The base URL of a registry's API, with a slash at the end."""
    scheme = "http" if host in plain_http_hosts or is_loopback(host) else "https"
    return f"{scheme}://{_API_HOSTS.get(host, host)}/v2/"


@lru_cache(_MAX_KEPT)
def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine itself; those are spoken to without TLS, as containerd does."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(_MAX_KEPT)
def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what credentials are bound to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


@lru_cache(_MAX_KEPT)
def resolve_url(base: str, location: str) -> str | None:
    """The absolute URL of a ``Location`` header (relative ones are allowed); None where it is not one to go to."""
    try:
        url = urljoin(base, location)
        parts = urlsplit(url)
        usable = _is_usable(url, parts)
    except ValueError:
        return None
    return url if usable else None


def _is_usable(url: str, parts: SplitResult) -> bool:
    plain = (
        url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL_CHARACTERS
    )
    # Reading the port checks it; user information in a URL would become an Authorization header.
    return (
        plain
        and parts.scheme in _DEFAULT_PORTS
        and bool(parts.hostname)
        and parts.port != 0
        and "@" not in parts.netloc
    )
