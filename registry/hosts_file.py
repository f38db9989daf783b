"""containerd's ``hosts.toml``: which servers have a registry's content, and how they are connected to. Without I/O.

Source: containerd's docs/hosts.md, and what ``core/remotes/docker/config`` makes of it. Where containerd takes a mistake for nothing
and goes to the registry itself, an error names the key here: a mirror that is silently left out is found only much later.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from registry.endpoints import (
    ALL_CAPABILITIES,
    Capability,
    ClientCertificate,
    Connection,
    Endpoint,
)
from registry.errors import HostsError
from registry.go_duration import parse_go_duration
from registry.header_table import parse_headers
from registry.hosts import api_url, is_loopback

MAX_HOSTS_FILE_BYTES: Final = 1 << 20

_KEYS: Final = frozenset(
    {
        "capabilities",
        "ca",
        "client",
        "skip_verify",
        "header",
        "override_path",
        "dial_timeout",
    }
)
_ROOT_KEYS: Final = _KEYS | {"server", "host"}


@dataclass(frozen=True, slots=True)
class HostsFile:
    """What a file says about one registry.

    Attributes:
        endpoints: the servers, in the order in which they are asked; the registry itself, or ``server``, comes last.
        unknown_keys: what is there but means nothing to us, with dots between tables.
    """

    endpoints: tuple[Endpoint, ...]
    unknown_keys: tuple[str, ...] = ()


def parse_hosts_file(raw: bytes, *, path: Path, registry: str, default: Endpoint) -> HostsFile:
    """Reads a ``hosts.toml``.

    Args:
        raw: its content.
        path: where it is; relative paths in it start there.
        registry: the host that images name.
        default: the registry itself, where the file names no ``server``.

    Raises:
        HostsError: it is not TOML, or a key has a value that cannot be used.
    """
    if len(raw) > MAX_HOSTS_FILE_BYTES:
        raise HostsError(path, "", f"it has more than {MAX_HOSTS_FILE_BYTES} bytes")
    try:
        document = tomllib.loads(raw.decode())
    except ValueError as error:  # not TOML, or not UTF-8
        raise HostsError(path, "", f"it is not TOML ({error})") from None
    hosts = _expect(document.get("host", {}), dict, path, "host", 'tables [host."URL"]')
    endpoints = []
    for name, table in hosts.items():
        place = _Place(path, f'host."{name}".')
        _expect(table, dict, path, f'host."{name}"', "a table")
        endpoints.append(_parse_endpoint(name, table, place, registry))
    endpoints.append(_parse_root(document, _Place(path, ""), registry, default))
    return HostsFile(tuple(endpoints), tuple(_unknown_keys(document, hosts)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a file we are, for errors."""

    path: Path
    prefix: str

    def error(self, key: str, reason: str) -> HostsError:
        return HostsError(self.path, self.prefix + key, reason)


def _parse_root(
    document: Mapping[str, Any], place: _Place, registry: str, default: Endpoint
) -> Endpoint:
    """The last endpoint: what ``server`` names, with the keys outside of any ``[host]``."""
    server = _expect(document.get("server", ""), str, place.path, "server", "a URL")
    if server:
        return _parse_endpoint(server, document, place, registry, key="server")
    connection = _parse_connection(document, place)
    base_url = default.base_url
    if connection.has_tls_settings and is_loopback(registry):
        # Who sets up TLS for this machine's own registry means to use it.
        base_url = f"https://{registry}/v2/"
    capabilities = _parse_capabilities(document, place)
    headers = parse_headers(document.get("header", {}), place.error)
    return Endpoint(registry, base_url, connection, capabilities, headers)


def _parse_endpoint(
    server: str, table: Mapping[str, Any], place: _Place, registry: str, *, key: str = ""
) -> Endpoint:
    try:
        base_url = _base_url(server, override_path=_parse_flag(table, "override_path", place))
    except ValueError as error:
        raise HostsError(place.path, key or place.prefix.rstrip("."), str(error)) from None
    return Endpoint(
        registry,
        base_url,
        _parse_connection(table, place),
        _parse_capabilities(table, place),
        parse_headers(table.get("header", {}), place.error),
    )


def _base_url(server: str, *, override_path: bool) -> str:
    url = server if "://" in server else f"https://{server}"
    parts = urlsplit(url)
    if not _is_plain(url, parts):
        raise ValueError("it is not the URL of a server: write https://HOST[:PORT][/PATH]")
    path = normpath(parts.path).strip("/") if parts.path else ""
    path = "" if path == "." else path
    if not override_path and f"/{path}".rpartition("/")[2] != "v2":
        path = f"{path}/v2".lstrip("/")
    return f"{parts.scheme}://{_api_host(parts)}/{path}{'/' if path else ''}"


def _api_host(parts: SplitResult) -> str:
    """Images name docker.io, which has no API: people write it here too."""
    return urlsplit(api_url(parts.netloc)).netloc


def _is_plain(url: str, parts: SplitResult) -> bool:
    plain = (
        parts.scheme in {"http", "https"} and url.isascii() and url.isprintable() and " " not in url
    )
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    extras = parts.query or parts.fragment or "@" in parts.netloc
    return plain and bool(host) and port != 0 and not extras


def _parse_connection(table: Mapping[str, Any], place: _Place) -> Connection:
    timeout = table.get("dial_timeout", "")
    if not isinstance(timeout, str):
        raise place.error("dial_timeout", 'must be a text, as "30s"')
    try:
        seconds = parse_go_duration(timeout) if timeout else None
    except ValueError as error:
        raise place.error("dial_timeout", str(error)) from None
    if seconds is not None and seconds <= 0:
        raise place.error("dial_timeout", "must be longer than 0")
    return Connection(
        ca_files=_parse_files(table.get("ca"), "ca", place),
        client_certificates=_parse_client(table.get("client"), place),
        verify=not _parse_flag(table, "skip_verify", place),
        connect_timeout_seconds=seconds,
    )


def _parse_files(value: Any, key: str, place: _Place) -> tuple[Path, ...]:
    items = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise place.error(key, "must be a file, or a list of files")
    return tuple(_absolute(item, key, place) for item in items)


def _parse_client(value: Any, place: _Place) -> tuple[ClientCertificate, ...]:
    """A file, a list of files, or a list of pairs; a file without a pair holds certificate and key."""
    items = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise place.error("client", _CLIENT_SHAPES)
    return tuple(_parse_pair(item, place) for item in items)


_CLIENT_SHAPES: Final = "must be a file, a list of files, or a list of [certificate, key] pairs"


def _parse_pair(item: Any, place: _Place) -> ClientCertificate:
    match item:
        case str():
            return ClientCertificate(_absolute(item, "client", place))
        case [str(certificate), ""]:
            return ClientCertificate(_absolute(certificate, "client", place))
        case [str(certificate), str(key)]:
            return ClientCertificate(
                _absolute(certificate, "client", place), _absolute(key, "client", place)
            )
        case _:
            raise place.error("client", _CLIENT_SHAPES)


def _absolute(text: str, key: str, place: _Place) -> Path:
    if not text or "\0" in text:
        raise place.error(key, "must not be empty")
    return place.path.parent / text


def _parse_capabilities(table: Mapping[str, Any], place: _Place) -> frozenset[Capability]:
    words = table.get("capabilities", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise place.error("capabilities", "must be a list of pull, resolve and push")
    known = {capability.value: capability for capability in Capability}
    # containerd 2.1 has more than we ask for.
    unknown = {word.lower() for word in words} - known.keys() - {"referrers"}
    if unknown:
        raise place.error("capabilities", f"{min(unknown)!r} is not one")
    found = frozenset(known[word.lower()] for word in words if word.lower() in known)
    return found if words else ALL_CAPABILITIES


def _parse_flag(table: Mapping[str, Any], key: str, place: _Place) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise place.error(key, "must be true or false")
    return value


def _expect(value: Any, kind: type, path: Path, key: str, what: str) -> Any:
    if not isinstance(value, kind):
        raise HostsError(path, key, f"must be {what}")
    return value


def _unknown_keys(document: Mapping[str, Any], hosts: Mapping[str, Any]) -> Iterator[str]:
    yield from sorted(document.keys() - _ROOT_KEYS)
    for name, table in hosts.items():
        yield from (f'host."{name}".{key}' for key in sorted(table.keys() - _KEYS))
