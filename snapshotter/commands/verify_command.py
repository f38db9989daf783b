"""``pyestargz verify``: thin; the proof is ``estargz.verification``'s."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import trio

from estargz.verification import ImageVerdict, LayerVerdict, verify_image
from registry.manifest import Platform
from snapshotter.commands.byte_size import format_size
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.image_options import (
    host_platform,
    image_access_options,
    platforms_option,
    printable,
)
from snapshotter.commands.image_stores import (
    ImageAccess,
    ImageStores,
    NamedImage,
    parse_image,
    usual_platforms,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    image: NamedImage
    platforms: tuple[Platform, ...]
    work_directory: Path | None
    access: ImageAccess
    lines: bool


@click.command()
@click.argument("image")
@platforms_option
@click.option(
    "--work-dir",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where temporary files go; they need as much room as one layer, packed and unpacked.",
)
@image_access_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def verify(
    *,
    image: str,
    platforms: tuple[Platform, ...],
    work_dir: Path | None,
    access: ImageAccess,
    as_json: bool,
) -> int:
    """Proves that IMAGE is the same whether it is mounted lazily or pulled; says what differs, and ends with 1 then.

    The whole image is downloaded once. IMAGE is named as for convert.
    """
    name = parse_image(image)
    task = _Task(
        image=name,
        platforms=platforms or usual_platforms(name, host_platform()),
        work_directory=work_dir,
        access=access,
        lines=not as_json,
    )
    verdict = trio.run(_verify, task)
    if as_json:
        click.echo(json.dumps(verdict_document(str(task.image), verdict), indent=2))
    else:
        bad = sum(bool(layer.differences) for layer in verdict.layers)
        result = f"{bad} of {len(verdict.layers)} layers are not what they should be"
        click.echo(f"{task.image} {result if bad else 'is the same, lazily and pulled'}")
    return ExitCode.OK if verdict.good else ExitCode.FAILED


async def _verify(task: _Task) -> ImageVerdict:
    def show(layer: LayerVerdict) -> None:
        if task.lines:
            click.echo("\n".join(_lines(layer)))

    async with ImageStores(task.access) as stores:
        return await verify_image(
            stores.open(task.image),
            platforms=task.platforms,
            work_directory=task.work_directory,
            on_verdict=show,
        )


def _lines(layer: LayerVerdict) -> Iterator[str]:
    kind = f"{layer.chunks} chunks" if layer.lazy else "not lazy"
    result = f"{len(layer.differences)} differences" if layer.differences else "good"
    yield f"{layer.digest} {format_size(layer.blob_bytes)}, {kind}: {result}"
    for difference in layer.differences:
        what = f"{difference.entry}: {difference.what}" if difference.entry else difference.what
        yield f"  {printable(what)}"


def verdict_document(name: str, verdict: ImageVerdict) -> dict[str, Any]:
    """The result as ``--json`` prints it; field names are stable."""
    return {
        "image": name,
        "digest": str(verdict.digest),
        "good": verdict.good,
        "layers": [
            {
                "digest": str(layer.digest),
                "size": layer.blob_bytes,
                "lazy": layer.lazy,
                "chunks": layer.chunks,
                "differences": [
                    {"entry": difference.entry or None, "what": difference.what}
                    for difference in layer.differences
                ],
            }
            for layer in verdict.layers
        ],
    }
