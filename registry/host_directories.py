"""Directories with one subdirectory per registry, as containerd's ``config_path`` and docker's ``certs.d`` have them, on disk.

Of ``/etc/containerd/certs.d`` and the like, the first subdirectory that exists counts, in the order ``HOST_PORT_``, ``HOST:PORT``,
``_default``, and an earlier ``config_path`` wins over a later one as a whole. In it there is a ``hosts.toml``, or there are ``*.crt``
(authorities) and ``*.cert`` with ``*.key`` (what we show). Everything here blocks on the disk.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from registry.endpoints import ClientCertificate, Connection, Endpoint
from registry.errors import HostsError, TlsFileError
from registry.hosts import is_loopback
from registry.hosts_file import MAX_HOSTS_FILE_BYTES, HostsFile, parse_hosts_file
from registry.tls import load_tls

HOSTS_FILE: Final = "hosts.toml"
MAX_CERTIFICATES: Final = 100

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class LoadedHosts:
    """What a disk says about one registry at one moment.

    Attributes:
        endpoints: the servers to ask, in order.
        directory: where that is said; None where no directory is about this registry.
        unknown_keys: keys of its ``hosts.toml`` that mean nothing to us.
        watched: every file and directory the answer depends on, with its stamp.
    """

    endpoints: tuple[Endpoint, ...]
    directory: Path | None = None
    unknown_keys: tuple[str, ...] = ()
    watched: dict[Path, Stamp] = field(default_factory=dict)


def read_stamp(path: Path) -> Stamp:
    """What tells a file from what it was before; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def load_hosts(config_paths: Sequence[Path], *, default: Endpoint) -> LoadedHosts:
    """Reads what directories say about a registry.

    Args:
        config_paths: the directories, the most important one first.
        default: the registry itself.

    Raises:
        HostsError: a file cannot be read or used; which ones to watch for its repair is ``watched_paths``'s.
    """
    # Stamps are taken before files are read: what changes meanwhile is then seen the next time.
    watched = watched_paths(config_paths, registry=default.registry)
    names = directory_names(default.registry)
    found = _first_directory(root / name for root in config_paths for name in names)
    if found is None:
        return LoadedHosts((default,), watched=watched)
    file = _load_directory(found, default)
    watched.update((path, read_stamp(path)) for path in _tls_files(file.endpoints))
    endpoints = tuple(_with_revision(endpoint) for endpoint in file.endpoints)
    for endpoint in endpoints:
        _check_tls(endpoint, found)
    return LoadedHosts(endpoints, found, file.unknown_keys, watched)


def watched_paths(config_paths: Sequence[Path], *, registry: str) -> dict[Path, Stamp]:
    """What any answer about a registry depends on, with the stamps of now."""
    names = directory_names(registry)
    directories = [root / name for root in config_paths for name in names]
    paths = [*directories, *(path / HOSTS_FILE for path in directories)]
    return {path: read_stamp(path) for path in paths}


def directory_names(registry: str) -> tuple[str, ...]:
    """How a registry's directory may be called, in the order in which they are looked for."""
    host, colon, port = registry.rpartition(":")
    if colon and port.isdigit():
        return f"{host}_{port}_", registry, "_default"
    return registry, "_default"


def _first_directory(paths: Iterable[Path]) -> Path | None:
    for path in paths:
        try:
            if path.is_dir():
                return path
        except OSError as error:
            raise HostsError(path, "", error.strerror or "it cannot be read") from None
    return None


def _load_directory(directory: Path, default: Endpoint) -> HostsFile:
    path = directory / HOSTS_FILE
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_HOSTS_FILE_BYTES + 1)
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        raise HostsError(path, "", error.strerror or "it cannot be read") from None
    if raw.strip():
        return parse_hosts_file(raw, path=path, registry=default.registry, default=default)
    return HostsFile((_with_certificates(directory, default),))


def _with_certificates(directory: Path, default: Endpoint) -> Endpoint:
    """The registry itself, with the certificates that lie in the directory."""
    try:
        files = sorted(directory.iterdir())[:MAX_CERTIFICATES]
    except OSError as error:
        raise HostsError(directory, "", error.strerror or "it cannot be read") from None
    pairs = []
    for path in files:
        if path.suffix == ".cert":
            key = path.with_suffix(".key")
            pairs.append(ClientCertificate(path, key if key in files else None))
    authorities = tuple(path for path in files if path.suffix == ".crt")
    connection = Connection(ca_files=authorities, client_certificates=tuple(pairs))
    if connection.has_tls_settings and is_loopback(default.registry):
        # Who sets up TLS for this machine's own registry means to use it.
        return replace(default, base_url=f"https://{default.registry}/v2/", connection=connection)
    return replace(default, connection=connection)


def _check_tls(endpoint: Endpoint, directory: Path) -> None:
    if not endpoint.connection.has_tls_settings:
        return
    try:
        load_tls(endpoint.connection)
    except TlsFileError as error:
        file = directory / HOSTS_FILE
        if not file.exists():
            raise HostsError(error.path, "", error.reason) from None
        raise HostsError(file, error.key, f"{error.path}: {error.reason}") from None


def _with_revision(endpoint: Endpoint) -> Endpoint:
    stamps = [(str(path), read_stamp(path)) for path in _tls_files((endpoint,))]
    if not stamps:
        return endpoint
    revision = int.from_bytes(hashlib.sha256(repr(stamps).encode()).digest()[:8])
    return replace(endpoint, connection=replace(endpoint.connection, revision=revision))


def _tls_files(endpoints: Iterable[Endpoint]) -> Iterator[Path]:
    for endpoint in endpoints:
        yield from endpoint.connection.ca_files
        for pair in endpoint.connection.client_certificates:
            yield pair.certificate
            if pair.key is not None:
                yield pair.key
