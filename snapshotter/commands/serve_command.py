"""``pyestargz serve``."""

from pathlib import Path

import click

from fs.log import LogLevel, log_to_stderr
from snapshotter import daemon
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.serve_options import (
    ServeOptions,
    place_options,
    settings_options,
)
from snapshotter.config_file import ConfigFile


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

    log_to_stderr(options.log_level)
    return daemon.serve(options.read_settings(), options.read_settings)
