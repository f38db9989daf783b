"""``pyestargz status``: is this image lazy, how much of it is here, what did it cost, what failed.

Asks the fs server and reads the snapshotter's records, so it works while the snapshotter itself is away.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.image_options import containerd_option
from snapshotter.commands.image_status import image_statuses
from snapshotter.commands.lost_containers import named_cut_off
from snapshotter.commands.serve_options import place_options
from snapshotter.commands.status_report import Glance, status_document, status_page
from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError
from snapshotter.fs_client import FsClient
from snapshotter.layer_server import FsStatus
from snapshotter.records import read_records
from snapshotter.verdicts import read_verdicts

_PIPE_WIDTH = 240


@click.command()
@click.argument("image", required=False)
@place_options
@containerd_option
@click.option("--watch", is_flag=True, help="Go on showing it, every second, until interrupted.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line a second."
)
def status(
    *,
    image: str | None,
    address: Path,
    root: Path,
    containerd_address: str,
    watch: bool,
    as_json: bool,
) -> int:
    """Shows the images that were pulled through the snapshotter: how lazy they are, and what they cost so far.

    With IMAGE, a name or a part of one, each of its layers too. Containers that lost their layers are named by what
    containerd calls them.
    """
    settings = ServeSettings(address=address.absolute(), root=root.absolute())
    with FsClient(settings.fs_socket, lambda: False) as client:

        def look() -> Glance:
            return _look(settings, client, image, containerd_address)

        if watch:
            _watch(look, detailed=image is not None, as_json=as_json)
            return ExitCode.OK
        glance = look()
    if as_json:
        click.echo(json.dumps(status_document(glance), indent=2))
    else:
        _console().print(status_page(glance, detailed=image is not None))
    return ExitCode.NOT_FOUND if image is not None and not glance.images else ExitCode.OK


def _look(settings: ServeSettings, client: FsClient, image: str | None, containerd: str) -> Glance:
    problem, fs = "", FsStatus()
    try:
        fs = client.status()
    except FsServerError as error:
        problem = str(error)
    records = read_records(settings.records_file)
    images = image_statuses(records, fs.layers, read_verdicts(settings.verdicts_file))
    wanted = [found for found in images if image is None or image in found.reference]
    cut_off = {} if problem else named_cut_off(settings, records, containerd)
    return Glance(problem, fs, wanted, cut_off)


def _watch(look: Callable[[], Glance], *, detailed: bool, as_json: bool) -> None:
    never = threading.Event()
    with suppress(KeyboardInterrupt):
        if as_json:
            click.echo(json.dumps(status_document(look())))
            while not never.wait(1.0):
                click.echo(json.dumps(status_document(look())))
            return
        with Live(
            status_page(look(), detailed=detailed), console=_console(), auto_refresh=False
        ) as live:
            while not never.wait(1.0):
                live.update(status_page(look(), detailed=detailed), refresh=True)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
