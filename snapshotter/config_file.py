"""The configuration file: TOML, checked key by key against ``config_keys``."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from snapshotter.config_keys import KEYS
from snapshotter.errors import ConfigError

DEFAULT_CONFIG: Final = Path("/etc/containerd-stargz-grpc/config.toml")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file says.

    Attributes:
        path: the file; None if there is none.
        values: the keys that are known and there, with dots between tables.
        unknown: the keys that are not known, sorted; most often misspelt ones.
    """

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def idle(self) -> dict[str, str]:
        """The keys that are there and do nothing here, with the reason."""
        return {name: KEYS[name].idle for name in self.values if KEYS[name].idle}

    def get(self, name: str) -> Any:
        """A key's value, or its default; numbers that are 0 mean the default, as they do to containerd-stargz-grpc."""
        default = KEYS[name].default
        value = self.values.get(name, default)
        return default if value == 0 and type(value) is int else value


def read_config(path: Path) -> ConfigFile:
    """Reads a configuration file.

    Raises:
        ConfigError: it is not TOML, or a key has a value that cannot be meant.
        OSError: it cannot be read.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in _leaves(table):
        key = KEYS.get(name)
        if key is None:
            unknown.append(name)
        elif reason := key.reason_against(value):
            raise ConfigError(str(path), reason)
        else:
            values[name] = value
    _check_together(path, values)
    return ConfigFile(path, values, tuple(sorted(unknown)))


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The keys with their values; a table that is itself a key's value is one of them."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in KEYS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _check_together(path: Path, values: Mapping[str, Any]) -> None:
    file = ConfigFile(path, values)
    least, most = file.get("blob.min_wait_msec"), file.get("blob.max_wait_msec")
    if least > most:
        reason = f"blob.min_wait_msec ({least}) is greater than blob.max_wait_msec ({most})"
        raise ConfigError(str(path), reason)
