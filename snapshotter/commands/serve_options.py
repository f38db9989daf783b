"""Options that say how the daemon runs, for the commands that run it or tell about it; and what they and the configuration file come to."""

from collections.abc import Callable
from dataclasses import dataclass
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

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says.

    Attributes:
        config: the configuration file; the usual one, if that is there, for None.
    """

    address: Path
    root: Path
    config: Path | None
    log_level: LogLevel
    foreground_fs: bool = False

    def read_file(self) -> ConfigFile:
        """The configuration file as it is now.

        Raises:
            ConfigError: it says what cannot be.
            OSError: it cannot be read.
        """
        path = self.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
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
    log_level = click.option(
        "--log-level",
        type=click.Choice([level.value for level in LogLevel]),
        default=LogLevel.INFO.value,
        show_default=True,
        help="Least level that is logged, as JSON lines on stderr.",
    )
    return config(log_level(command))
