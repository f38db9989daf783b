"""Which proxy a URL is fetched through: ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, read as containerd reads them.

As in Go's ``httpproxy``: this machine itself is never proxied; ``NO_PROXY`` holds hosts (which cover their subdomains), hosts with a
port, ``.domains`` (subdomains alone), addresses, networks in CIDR notation, or ``*``. Lower case names count too, upper case ones first.
Without I/O: names are not resolved.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from registry.hosts import is_loopback

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Proxies, as URLs (which may hold a password), and what goes without one."""

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    exceptions: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads the variables, upper case first."""
        # A CGI program's HTTP_PROXY would be a header of its request; we are none, but containerd ignores it then too.
        cgi = "REQUEST_METHOD" in environment
        return cls(
            http="" if cgi else _with_scheme(_read(environment, "HTTP_PROXY")),
            https=_with_scheme(_read(environment, "HTTPS_PROXY")),
            exceptions=tuple(
                word.strip().lower()
                for word in _read(environment, "NO_PROXY").split(",")
                if word.strip()
            ),
        )

    def proxy_for(self, url: str) -> str | None:
        """The proxy's URL, or None where the URL is fetched directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = (parts.hostname or "").rstrip(".")
        if not proxy or not host or is_loopback(parts.netloc.rpartition("@")[2]):
            return None
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        if any(_covers(exception, host, port) for exception in self.exceptions):
            return None
        return proxy


def _covers(exception: str, host: str, port: int) -> bool:
    if exception == "*":
        return True
    name, only_port = _split_port(exception)
    if only_port is not None and only_port != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _split_port(exception: str) -> tuple[str, int | None]:
    if "/" in exception or _address(exception) is not None:
        return exception, None
    name, colon, port = exception.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name.strip("[]"), int(port)
    return exception.strip("[]"), None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _read(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _with_scheme(proxy: str) -> str:
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
