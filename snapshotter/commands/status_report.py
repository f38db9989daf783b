"""What ``pyestargz status`` shows: for people, and for programs. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from fs.fetch_counters import FetchStatistics
from snapshotter.commands.byte_size import format_size
from snapshotter.commands.image_status import ImageStatus, LayerStatus
from snapshotter.cut_off import CutOff
from snapshotter.layer_server import FsStatus

_SHORT = 19


@dataclass(frozen=True, slots=True)
class Glance:
    """How everything is at one moment.

    Attributes:
        problem: Why the fs server does not answer; empty if it does.
        fs: What it says.
        images: The images that were asked for.
        cut_off: Containers that lost their layers, by what people call them; not known while the fs server is away.
    """

    problem: str
    fs: FsStatus
    images: Sequence[ImageStatus]
    cut_off: Mapping[str, CutOff] = field(default_factory=dict)


def status_document(glance: Glance) -> dict[str, Any]:
    """What ``--json`` prints; field names are stable."""
    return {
        "fsServer": _fs_document(glance),
        "restartNeeded": [
            {"container": name, "snapshot": one.snapshot, "layers": list(map(str, one.layers))}
            for name, one in glance.cut_off.items()
        ],
        "images": [
            {
                "reference": image.reference,
                "lazy": image.is_lazy,
                "fetchedBytes": image.fetched_bytes,
                "blobBytes": image.blob_bytes,
                "containers": list(image.users),
                "layers": [_layer_document(layer) for layer in image.layers],
            }
            for image in glance.images
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


def status_page(glance: Glance, *, detailed: bool) -> Table:
    """What people see; with ``detailed`` each layer of the images, too."""
    page = Table.grid(padding=(0, 0, 1, 0))
    page.add_column(no_wrap=False)
    page.add_row("\n".join(_fs_lines(glance)))
    page.add_row(_image_table(glance.images) if glance.images else "no image")
    for image in glance.images if detailed else ():
        page.add_row(_layer_table(image))
    return page


def _fs_document(glance: Glance) -> dict[str, Any]:
    document: dict[str, Any] = {"up": not glance.problem, "error": glance.problem}
    if glance.problem:
        return document
    cache = glance.fs.cache
    return {
        **document,
        "version": glance.fs.version,
        "layers": len(glance.fs.layers),
        "fetching": _fetching_document(glance.fs.fetching),
        "cache": None
        if cache is None
        else {
            "usedBytes": cache.used_bytes,
            "limitBytes": cache.limit_bytes,
            "evictedBytes": cache.evicted_bytes,
            "diskError": cache.disk_error,
        },
    }


def _fs_lines(glance: Glance) -> Iterator[str]:
    if glance.problem:
        yield f"{glance.problem}; lazy layers are not served until pyestargz serve runs"
        return
    count, cache = len(glance.fs.layers), glance.fs.cache
    yield f"fs server {glance.fs.version}: {count} layers"
    if cache is not None:
        used, limit = format_size(cache.used_bytes), format_size(cache.limit_bytes)
        yield f"content takes {used} of {limit}, {format_size(cache.evicted_bytes)} given up so far"
        if cache.disk_error:
            yield f"content cannot be kept: {cache.disk_error}"
    for name in glance.cut_off:
        yield f"container {name} has lost its layers: start it again"


def _image_table(images: Sequence[ImageStatus]) -> Table:
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
