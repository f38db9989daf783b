"""Registries in the snapshotter's own configuration: containerd-stargz-grpc's ``[[resolver.host."HOST".mirrors]]``. Without I/O.

Source: containerd-stargz-grpc's documentation of ``config.toml``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from registry.header_table import parse_headers
from registry.host_settings import MirrorSettings
from registry.reference import is_host

MakeError = Callable[[str, str], Exception]

_KEYS: Final = frozenset({"host", "insecure", "request_timeout_sec", "header"})
NO_TIMEOUT_SECONDS: Final = 24 * 3600.0


def parse_mirrors(
    table: Mapping[str, Any], error: MakeError
) -> dict[str, tuple[MirrorSettings, ...]]:
    """Reads the table ``resolver.host``.

    Args:
        table: what a TOML parser found.
        error: makes the error to raise, of a key (with dots between tables) and a reason.

    Returns:
        For each registry, its mirrors in order.
    """
    mirrors = {}
    for registry, entry in table.items():
        name = f'resolver.host."{registry}"'
        listed = entry.get("mirrors") if isinstance(entry, dict) else None
        if not isinstance(listed, list) or entry.keys() != {"mirrors"}:
            raise error(name, "must be a list of tables named mirrors, and nothing else")
        mirrors[registry] = tuple(
            _parse_mirror(mirror, f"{name}.mirrors[{position}]", error)
            for position, mirror in enumerate(listed)
        )
    return mirrors


def parse_paths(text: str, key: str, error: MakeError) -> tuple[Path, ...]:
    """Reads a key like ``registry.config_path``: absolute paths, with colons between them."""
    paths = tuple(Path(part) for part in text.split(":") if part)
    if not all(path.is_absolute() for path in paths):
        raise error(key, "must be absolute paths, with colons between them")
    return paths


def _parse_mirror(table: Any, name: str, error: MakeError) -> MirrorSettings:
    def of(key: str, reason: str) -> Exception:
        return error(f"{name}.{key}", reason)

    if not isinstance(table, dict):
        raise error(name, "must be a table")
    if unknown := table.keys() - _KEYS:
        raise of(min(unknown), f"is not known; known are {', '.join(sorted(_KEYS))}")
    host, plain_http = table.get("host"), table.get("insecure", False)
    timeout = table.get("request_timeout_sec", 0)
    if not isinstance(host, str) or not is_host(host):
        raise of("host", "must be HOST or HOST:PORT, without a scheme and a path")
    if not isinstance(plain_http, bool):
        raise of("insecure", "must be true or false")
    if type(timeout) is not int:
        raise of("request_timeout_sec", "must be a whole number")
    # 0 is the default of all, and less than 0 no limit, to containerd-stargz-grpc.
    seconds = None if timeout == 0 else float(timeout) if timeout > 0 else NO_TIMEOUT_SECONDS
    return MirrorSettings(host, plain_http, seconds, parse_headers(table.get("header", {}), of))
