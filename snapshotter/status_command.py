"""``pyestargz status``: is this image lazy, how much of it is here, what did it cost, what failed.

Asks the fs server and reads the snapshotter's records, so it works while the snapshotter itself is away.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fs.fetch_counters import FetchStatistics
from snapshotter.byte_size import format_size
from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError
from snapshotter.exit_codes import ExitCode
from snapshotter.fs_client import FsClient
from snapshotter.image_status import ImageStatus, LayerStatus, image_statuses
from snapshotter.records import read_records
from snapshotter.serve_options import place_options
from snapshotter.verdicts import read_verdicts

_SHORT = 19
_PIPE_WIDTH = 240


@click.command()
@click.argument("image", required=False)
@place_options
@click.option("--watch", is_flag=True, help="Go on showing it, every second, until interrupted.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line a second."
)
def status(*, image: str | None, address: Path, root: Path, watch: bool, as_json: bool) -> int:
    """Shows the images that were pulled through the snapshotter: how lazy they are, and what they cost so far.

    With IMAGE, a name or a part of one, each of its layers too.
    """
    settings = ServeSettings(address=address.absolute(), root=root.absolute())
    with FsClient(settings.fs_socket, lambda: False) as client:

        def look() -> tuple[str, list[ImageStatus]]:
            return _look(settings, client, image)

        if watch:
            _watch(look, detailed=image is not None, as_json=as_json)
            return ExitCode.OK
        problem, images = look()
    if as_json:
        click.echo(json.dumps(status_document(problem, images), indent=2))
    else:
        _console().print(_page(problem, images, detailed=image is not None))
    return ExitCode.NOT_FOUND if image is not None and not images else ExitCode.OK


def _look(
    settings: ServeSettings, client: FsClient, image: str | None
) -> tuple[str, list[ImageStatus]]:
    """What is wrong with the fs server, and the images that were asked for."""
    problem = ""
    try:
        served = client.served()
    except FsServerError as error:
        served, problem = {}, str(error)
    records = read_records(settings.records_file)
    images = image_statuses(records, served, read_verdicts(settings.verdicts_file))
    return problem, [found for found in images if image is None or image in found.reference]


def _watch(
    look: Callable[[], tuple[str, list[ImageStatus]]], *, detailed: bool, as_json: bool
) -> None:
    never = threading.Event()
    with suppress(KeyboardInterrupt):
        if as_json:
            click.echo(json.dumps(status_document(*look())))
            while not never.wait(1.0):
                click.echo(json.dumps(status_document(*look())))
            return
        with Live(
            _page(*look(), detailed=detailed), console=_console(), auto_refresh=False
        ) as live:
            while not never.wait(1.0):
                live.update(_page(*look(), detailed=detailed), refresh=True)


def status_document(problem: str, images: list[ImageStatus]) -> dict[str, Any]:
    """What ``--json`` prints; field names are stable."""
    return {
        "fsServer": {"up": not problem, "error": problem},
        "images": [
            {
                "reference": image.reference,
                "lazy": image.is_lazy,
                "fetchedBytes": image.fetched_bytes,
                "blobBytes": image.blob_bytes,
                "containers": list(image.users),
                "layers": [_layer_document(layer) for layer in image.layers],
            }
            for image in images
        ],
    }


def _layer_document(layer: LayerStatus) -> dict[str, Any]:
    document: dict[str, Any] = {
        "chainId": layer.chain,
        "digest": None if layer.digest is None else str(layer.digest),
        "lazy": layer.is_lazy,
    }
    if not layer.is_lazy:
        return {**document, "notLazyBecause": layer.not_lazy, "unpackedBytes": layer.unpacked_bytes}
    served = layer.served
    if served is None:
        return {**document, "served": False}
    return {
        **document,
        "served": True,
        "blobBytes": served.blob_bytes,
        "fetchedBytes": served.fetched_bytes,
        "contentBytes": served.content_bytes,
        "presentBytes": served.present_bytes,
        "requests": served.requests,
        "fetching": _fetching_document(served.fetching),
        "verifyFailures": served.verify_failures,
        "lastError": served.last_error,
    }


def _fetching_document(fetching: FetchStatistics) -> dict[str, Any]:
    by_priority = {
        priority: {"requests": transfer.requests, "bytes": transfer.bytes_received}
        for priority, transfer in (
            ("demand", fetching.demand),
            ("prefetch", fetching.prefetch),
            ("background", fetching.background),
        )
    }
    return {**by_priority, "readHits": fetching.hits, "readWaits": fetching.waits}


def _page(problem: str, images: list[ImageStatus], *, detailed: bool) -> Table:
    page = Table.grid(padding=(0, 0, 1, 0))
    page.add_column(no_wrap=False)
    if problem:
        page.add_row(f"{problem}: lazy layers are not served")
    page.add_row(_image_table(images) if images else "no image")
    for image in images if detailed else ():
        page.add_row(_layer_table(image))
    return page


def _image_table(images: list[ImageStatus]) -> Table:
    table = Table("IMAGE", "LAZY", "FETCHED", "OF", "%", "REQUESTS", "CONTAINERS", box=None)
    for image in images:
        lazy = sum(layer.is_lazy for layer in image.layers)
        table.add_row(
            image.reference,
            "yes" if image.is_lazy else f"{lazy} of {len(image.layers)} layers",
            format_size(image.fetched_bytes),
            format_size(image.blob_bytes),
            _percent(image.fetched_bytes, image.blob_bytes),
            str(sum(layer.served.requests for layer in image.layers if layer.served)),
            str(len(image.users)),
        )
    return table


def _layer_table(image: ImageStatus) -> Table:
    table = Table(
        "LAYER",
        "FETCHED",
        "OF",
        "FILES HERE",
        "REQUESTS",
        "DEMAND",
        "PREFETCH",
        "BACKGROUND",
        "HIT RATE",
        "STATE",
        box=None,
        title=image.reference,
        title_justify="left",
    )
    for layer in image.layers:
        table.add_row(*_layer_cells(layer))
    return table


def _layer_cells(layer: LayerStatus) -> Iterator[str]:
    yield str(layer.digest or layer.chain)[:_SHORT]
    served = layer.served
    if served is None:
        yield from ("",) * 8
    else:
        yield format_size(served.fetched_bytes)
        yield format_size(served.blob_bytes)
        yield f"{_percent(served.present_bytes, served.content_bytes)} %"
        yield str(served.requests)
        fetching = served.fetching
        for transfer in (fetching.demand, fetching.prefetch, fetching.background):
            yield format_size(transfer.bytes_received)
        reads = fetching.hits + fetching.waits
        yield f"{_percent(fetching.hits, reads)} %" if reads else ""
    yield _state(layer)


def _state(layer: LayerStatus) -> str:
    if not layer.is_lazy:
        return f"not lazy: {layer.not_lazy}"
    if layer.served is None:
        return "not served now; it will be when a container needs it"
    if layer.served.last_error:
        return f"last error: {layer.served.last_error}"
    complete = layer.served.present_bytes == layer.served.content_bytes
    return "complete" if complete else "lazy"


def _percent(part: int, whole: int) -> str:
    return f"{100 * min(part, whole) / whole:.0f}" if whole else "100"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
