"""Options that say how the daemon runs, for the commands that run it or tell about it; and what they and the configuration file come to."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from fs.log import LogLevel
from snapshotter.config import (
    ServeSettings,
    cri_settings,
    debug_address,
    fs_settings,
    metrics_address,
)
from snapshotter.config_file import DEFAULT_CONFIG, ConfigFile, read_config
from snapshotter.config_keys import KEYS

_log = logging.getLogger(__name__)
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says.

    Attributes:
        config: the configuration file; the usual one, if that is there, for None.
        default_config: the usual one.
    """

    address: Path
    root: Path
    config: Path | None
    log_level: LogLevel
    foreground_fs: bool = False
    default_config: Path = field(default_factory=lambda: DEFAULT_CONFIG)

    def read_file(self) -> ConfigFile:
        """The configuration file as it is now.

        Raises:
            ConfigError: it says what cannot be.
            OSError: it cannot be read.
        """
        path = self.config or (self.default_config if self.default_config.exists() else None)
        return ConfigFile() if path is None else read_config(path)

    def settings(self, file: ConfigFile) -> ServeSettings:
        """What this command line and a configuration file come to.

        Raises:
            ConfigError: they say what cannot be.
        """
        return ServeSettings(
            address=self.address.absolute(),
            root=self.root.absolute(),
            log_level=self.log_level,
            foreground_fs=self.foreground_fs,
            metrics_address=metrics_address(file),
            debug_address=debug_address(file),
            cri=cri_settings(file),
            fs=fs_settings(file, self.log_level),
        )

    def read_settings(self) -> ServeSettings:
        """The same, with the configuration file as it is now; keys without effect are told.

        Raises:
            ConfigError: they say what cannot be.
            OSError: the file cannot be read.
        """
        file = self.read_file()
        settings = self.settings(file)
        tell_ignored(file)
        return settings


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--address`` and ``--root``: where a daemon is."""
    address = click.option(
        "--address",
        type=_PATH,
        default=ServeSettings().address,
        show_default=True,
        help="Socket that containerd connects to.",
    )
    root = click.option(
        "--root",
        type=_PATH,
        default=ServeSettings().root,
        show_default=True,
        help="Directory of all state.",
    )
    return address(root(command))


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--config`` and ``--log-level``: how a daemon runs."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help=f"Configuration file (TOML); {DEFAULT_CONFIG} if that is there.",
    )
    return config(log_level_option(command))


def log_level_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--log-level``."""
    option = click.option(
        "--log-level",
        type=click.Choice([level.value for level in LogLevel]),
        default=LogLevel.INFO.value,
        show_default=True,
        help="Least level that is logged, as JSON lines on stderr.",
    )
    return option(command)


def tell_ignored(file: ConfigFile) -> None:
    """Logs what of a configuration file will do nothing."""
    config = str(file.path)
    if file.unknown:
        fields = {"config": config, "keys": list(file.unknown)}
        _log.warning("unknown configuration keys", extra={"fields": fields})
    for name, reason in file.idle.items():
        fields = {"config": config, "key": name, "reason": reason}
        wanted = file.get(name) != KEYS[name].default
        level = logging.WARNING if wanted else logging.INFO
        _log.log(level, "configuration key without effect", extra={"fields": fields})
