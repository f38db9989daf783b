"""``pyestargz serve``."""

import logging
from pathlib import Path

import click

from fs.log import LogLevel, log_to_stderr
from snapshotter import daemon
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.serve_options import ServeOptions, place_options, settings_options
from snapshotter.config import ServeSettings
from snapshotter.config_file import ConfigFile
from snapshotter.config_keys import KEYS

_log = logging.getLogger(__name__)


@click.command()
@place_options
@settings_options
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

    SIGTERM ends this command and leaves layers mounted and containers running; SIGINT and --stop end everything. SIGHUP
    makes it read its configuration file again.
    """
    options = ServeOptions(address, root, config, LogLevel(log_level), foreground_fs)
    if stops:
        daemon.stop(options.settings(ConfigFile()))
        return ExitCode.OK

    def read() -> ServeSettings:
        file = options.read_file()
        settings = options.settings(file)
        _tell(file)
        return settings

    log_to_stderr(options.log_level)
    return daemon.serve(read(), read)


def _tell(file: ConfigFile) -> None:
    """Says what of a configuration file will do nothing."""
    config = str(file.path)
    if file.unknown:
        fields = {"config": config, "keys": list(file.unknown)}
        _log.warning("unknown configuration keys", extra={"fields": fields})
    for name, reason in file.idle.items():
        fields = {"config": config, "key": name, "reason": reason}
        wanted = file.get(name) != KEYS[name].default
        level = logging.WARNING if wanted else logging.INFO
        _log.log(level, "configuration key without effect", extra={"fields": fields})
