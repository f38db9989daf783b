"""``pyestargz store``."""

from pathlib import Path

import click

from fs.log import LogLevel, log_to_stderr
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.image_options import host_platform
from snapshotter.commands.serve_options import ServeOptions, log_level_option
from snapshotter.config_file import ConfigFile
from snapshotter.store import daemon

_PATH = click.Path(path_type=Path)
_ROOT = Path("/var/lib/stargz-store")
_CONFIG = Path("/etc/stargz-store/config.toml")


@click.command()
@click.argument("mountpoint", type=_PATH, required=False)
@click.option(
    "--root", type=_PATH, default=_ROOT, show_default=True, help="Directory of all state."
)
@click.option(
    "--addr", type=_PATH, help="Socket that takes credentials; ROOT/store.sock if absent."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"Configuration file (TOML); {_CONFIG} if that is there.",
)
@log_level_option
@click.option(
    "--stop",
    "stops",
    is_flag=True,
    help="End the store and its fs server; lazy containers lose their files.",
)
def store(
    *,
    mountpoint: Path | None,
    root: Path,
    addr: Path | None,
    config: Path | None,
    log_level: str,
    stops: bool,
) -> int:
    """Serves layers to podman and CRI-O: an Additional Layer Store of containers/storage, on MOUNTPOINT.

    storage.conf names it: additionallayerstores = ["/var/lib/stargz-store/store:ref"]. SIGTERM ends this command and leaves layers
    mounted and containers running; SIGINT and --stop end everything. SIGHUP makes it read its configuration file again.
    """
    address = addr or root / "store.sock"
    options = ServeOptions(address, root, config, LogLevel(log_level), default_config=_CONFIG)
    if stops:
        daemon.stop(options.settings(ConfigFile()))
        return ExitCode.OK
    if mountpoint is None:
        raise click.UsageError("Missing argument 'MOUNTPOINT'.")

    log_to_stderr(options.log_level)
    absolute = mountpoint.absolute()
    settings = options.read_settings()
    place = daemon.StorePlace(absolute.parent.resolve() / absolute.name, settings, host_platform())
    return daemon.serve(place, options.read_settings)
