"""The configuration file: TOML, with the keys that containerd-stargz-grpc has.

Only those named in ``_KEYS`` have an effect yet; which of the others a file holds is told, so that nobody relies on
them.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fs.filling import FillSettings
from snapshotter.errors import ConfigError

DEFAULT_CONFIG = Path("/etc/containerd-stargz-grpc/config.toml")

_KEYS: dict[str, type] = {"noprefetch": bool, "no_background_fetch": bool, "prefetch_size": int}
_TYPE_NAMES = {bool: "true or false", int: "a number"}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file says.

    Attributes:
        filling: what the fs server fetches unasked.
        without_effect: the other keys that are there, with dots between tables, sorted.
    """

    filling: FillSettings = field(default_factory=FillSettings)
    without_effect: tuple[str, ...] = ()


def read_config(path: Path) -> ConfigFile:
    """Reads a configuration file.

    Raises:
        ConfigError: it is not TOML, or a key has a value of the wrong type.
        OSError: it cannot be read.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error
    for key, kind in _KEYS.items():
        if key in table and type(table[key]) is not kind:
            reason = f"{key} must be {_TYPE_NAMES[kind]}, not {table[key]!r}"
            raise ConfigError(str(path), reason)
    if table.get("prefetch_size", 0) < 0:
        raise ConfigError(str(path), "prefetch_size must not be negative")
    filling = FillSettings(
        prefetch=not table.get("noprefetch", False),
        prefetch_bytes=table.get("prefetch_size", 0),
        background=not table.get("no_background_fetch", False),
    )
    return ConfigFile(filling, tuple(sorted(set(_names(table)) - _KEYS.keys())))


def _names(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
