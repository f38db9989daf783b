"""What ``pyestargz convert`` shows: bars on a terminal, a line for each finished layer elsewhere, JSON for scripts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from estargz.convert import ConversionResult, ConvertedImage
from estargz.image_rewriting import ConvertedLayer
from estargz.progress import (
    Event,
    LayerAdvanced,
    LayerFinished,
    LayerPushed,
    LayerStarted,
    OnEvent,
    Phase,
)
from registry.digest import Digest
from snapshotter.commands.byte_size import format_size

_SHORT: Final = 12


@contextmanager
def progress_report(*, lines: bool) -> Iterator[OnEvent]:
    """A receiver of events: bars while the block runs if stderr is a terminal, else lines on stdout if ``lines``."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as bars:
            yield _Bars(bars).receive
    elif lines:
        yield _Lines().receive
    else:
        yield _silent


def summary_lines(source: str, target: str, result: ConversionResult) -> Iterator[str]:
    """What is said at the end."""
    layers = {layer.source_digest: layer for image in result.images for layer in image.layers}
    before = sum(layer.source_bytes for layer in layers.values())
    after = sum(layer.blob_bytes for layer in layers.values())
    images = f"{len(result.images)} platforms, " if len(result.images) > 1 else ""
    kept = sum(layer.kept for layer in layers.values())
    already = f" ({kept} kept, they were lazy)" if kept else ""
    yield f"{source} -> {target}"
    sizes = f"{format_size(before)} -> {format_size(after)}"
    yield f"{images}{len(layers)} layers{already}, {sizes} in {_time(layers.values(), result)}"
    if result.left_out:
        yield f"left out: {len(result.left_out)} attestations, which describe the original"
    yield str(result.digest)


def _time(layers: Iterable[ConvertedLayer], result: ConversionResult) -> str:
    written = sum(layer.uncompressed_bytes for layer in layers if not layer.kept)
    if not written or not result.seconds:
        return f"{result.seconds:.1f} s"
    return f"{result.seconds:.1f} s ({format_size(round(written / result.seconds))}/s unpacked)"


def result_document(source: str, target: str, result: ConversionResult) -> dict[str, Any]:
    """The result as ``--json`` prints it; field names are stable."""
    return {
        "source": source,
        "target": target,
        "sourceDigest": str(result.source_digest),
        "digest": str(result.digest),
        "mediaType": result.media_type,
        "images": [_image_document(image) for image in result.images],
        "leftOut": [str(digest) for digest in result.left_out],
        "seconds": round(result.seconds, 3),
    }


def _image_document(image: ConvertedImage) -> dict[str, Any]:
    return {
        "platform": image.platform,
        "sourceDigest": str(image.source_digest),
        "digest": str(image.digest),
        "layers": [_layer_document(layer) for layer in image.layers],
    }


def _layer_document(layer: ConvertedLayer) -> dict[str, Any]:
    return {
        "sourceDigest": str(layer.source_digest),
        "sourceSize": layer.source_bytes,
        "digest": str(layer.digest),
        "size": layer.blob_bytes,
        "diffId": str(layer.diff_id),
        "uncompressedSize": layer.uncompressed_bytes,
        "tocDigest": str(layer.toc_digest),
        "tocEntries": layer.toc_entries,
        "kept": layer.kept,
    }


def _bars(console: Console) -> Progress:
    columns: Iterable[TextColumn | BarColumn | DownloadColumn | TimeElapsedColumn] = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


@dataclass(slots=True)
class _Bar:
    task: TaskID
    phase: Phase
    total: int


class _Bars:
    """One bar for each layer, starting afresh with each phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[Digest, _Bar] = {}

    def receive(self, event: Event) -> None:
        match event:
            case LayerStarted(digest, blob_bytes):
                description = _describe(digest, Phase.FETCH.value)
                task = self._progress.add_task(description, total=blob_bytes)
                self._bars[digest] = _Bar(task, Phase.FETCH, blob_bytes)
            case LayerAdvanced(digest, phase, delta, total):
                self._advance(digest, phase, delta, total)
            case LayerPushed(digest, was_there):
                bar = self._bars[digest]
                state = _describe(digest, "was there" if was_there else "pushed")
                self._progress.update(bar.task, description=state, completed=bar.total)
            case LayerFinished():
                pass

    def _advance(self, digest: Digest, phase: Phase, delta: int, total: int) -> None:
        bar = self._bars[digest]
        if bar.phase is not phase:
            bar.phase, bar.total = phase, total
            description = _describe(digest, phase.value)
            self._progress.reset(bar.task, total=total, description=description)
        self._progress.advance(bar.task, delta)


class _Lines:
    """One line for each layer that is done."""

    def __init__(self) -> None:
        self._finished: dict[Digest, ConvertedLayer] = {}

    def receive(self, event: Event) -> None:
        match event:
            case LayerFinished(digest, layer):
                self._finished[digest] = layer
            case LayerPushed(digest, was_there):
                layer = self._finished[digest]
                sizes = f"{format_size(layer.source_bytes)} -> {format_size(layer.blob_bytes)}"
                state = " (was there)" if was_there else ""
                if layer.kept:
                    click.echo(f"{layer.digest} kept {format_size(layer.blob_bytes)}{state}")
                else:
                    click.echo(f"{layer.source_digest} -> {layer.digest} {sizes}{state}")
            case LayerStarted() | LayerAdvanced():
                pass


def _describe(digest: Digest, state: str) -> str:
    return f"{digest.hex[:_SHORT]} {state:<11}"


def _silent(_event: Event) -> None:
    pass
