"""``pyestargz serve``."""

import logging
from pathlib import Path

import click

from fs.log import LogLevel, log_to_stderr
from snapshotter import daemon
from snapshotter.config import ServeSettings
from snapshotter.config_file import DEFAULT_CONFIG, ConfigFile, read_config
from snapshotter.exit_codes import ExitCode

_log = logging.getLogger(__name__)
_PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--address",
    type=_PATH,
    default=ServeSettings().address,
    show_default=True,
    help="Socket that containerd connects to.",
)
@click.option(
    "--root",
    type=_PATH,
    default=ServeSettings().root,
    show_default=True,
    help="Directory of all state.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"Configuration file (TOML); {DEFAULT_CONFIG} if that is there.",
)
@click.option(
    "--log-level",
    type=click.Choice([level.value for level in LogLevel]),
    default=LogLevel.INFO.value,
    show_default=True,
    help="Least level that is logged, as JSON lines on stderr.",
)
@click.option(
    "--foreground-fs", is_flag=True, help="Keep the fs server in this process group (development)."
)
@click.option(
    "--stop",
    "stops",
    is_flag=True,
    help="End the daemon and the fs server; lazy containers lose their files.",
)
def serve(
    *,
    address: Path,
    root: Path,
    config: Path | None,
    log_level: str,
    foreground_fs: bool,
    stops: bool,
) -> int:
    """Serves snapshots to containerd.

    Ending this command leaves layers mounted and containers running; --stop ends everything.
    """
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    file = ConfigFile() if path is None else read_config(path)
    settings = ServeSettings(
        address=address.absolute(),
        root=root.absolute(),
        log_level=LogLevel(log_level),
        foreground_fs=foreground_fs,
        filling=file.filling,
    )
    if stops:
        daemon.stop(settings)
        return ExitCode.OK
    log_to_stderr(settings.log_level)
    if file.without_effect:
        fields = {"config": str(path), "keys": list(file.without_effect)}
        _log.warning("configuration keys without effect", extra={"fields": fields})
    return daemon.serve(settings)
