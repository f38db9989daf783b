"""``pyestargz inspect``: thin; the looking is ``estargz.inspection``'s."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import click
import trio
from rich.console import Console
from rich.table import Table

from estargz.inspection import ImageReport, LayerReport, ManifestReport, TocSummary, inspect_image
from registry.images import ImageStore
from registry.manifest import Platform
from snapshotter.commands.byte_size import format_size
from snapshotter.commands.image_options import host_platform, image_access_options, platforms_option
from snapshotter.commands.image_stores import (
    ImageAccess,
    ImageStores,
    NamedImage,
    parse_image,
    usual_platforms,
)

_SHORT = 19
_PIPE_WIDTH = 240


@click.command()
@click.argument("image")
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Open the table of contents of each layer, or believe the annotations.",
)
@platforms_option
@image_access_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    *, image: str, check: bool, platforms: tuple[Platform, ...], access: ImageAccess, as_json: bool
) -> None:
    """Shows the layers of IMAGE: which can be read lazily, and why the others cannot.

    IMAGE is a name in a registry (HOST/REPOSITORY:TAG), a directory in OCI layout (oci:DIR[:TAG]), an archive
    (oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG]) or a name in containerd (containerd:NAME).
    """
    name = parse_image(image)
    platforms = platforms or usual_platforms(name, host_platform())
    look = partial(inspect_image, check=check, platforms=platforms)
    report = trio.run(_inspect, name, access, look)
    if as_json:
        click.echo(json.dumps(report_document(str(name), report), indent=2))
    else:
        _print_tables(str(name), report)


async def _inspect(
    name: NamedImage, access: ImageAccess, look: Callable[[ImageStore], Awaitable[ImageReport]]
) -> ImageReport:
    async with ImageStores(access) as stores:
        return await look(stores.open(name))


def report_document(name: str, report: ImageReport) -> dict[str, Any]:
    """The report as ``--json`` prints it; field names are stable."""
    return {
        "image": name,
        "digest": str(report.digest),
        "mediaType": report.media_type,
        "manifests": [
            {
                "digest": str(manifest.digest),
                "platform": manifest.platform,
                "lazy": _is_lazy(manifest),
                "layers": [_layer_document(layer) for layer in manifest.layers],
            }
            for manifest in report.manifests
        ],
    }


def _layer_document(layer: LayerReport) -> dict[str, Any]:
    return {
        "digest": str(layer.digest),
        "mediaType": layer.media_type,
        "size": layer.blob_bytes,
        "uncompressedSize": layer.uncompressed_bytes,
        "tocDigest": layer.toc_digest or None,
        "lazy": layer.lazy,
        "notLazyBecause": layer.not_lazy_because or None,
        "toc": None if layer.toc is None else _toc_document(layer.toc),
    }


def _toc_document(toc: TocSummary) -> dict[str, Any]:
    return {
        "entries": toc.entries,
        "files": toc.files,
        "chunks": toc.chunks,
        "contentSize": toc.content_bytes,
        "size": toc.toc_bytes,
        "prefetch": toc.prefetch,
    }


def _is_lazy(manifest: ManifestReport) -> bool:
    return all(layer.lazy for layer in manifest.layers)


def _print_tables(name: str, report: ImageReport) -> None:
    # In a pipe there is no width to fit into.
    console = Console() if Console().is_terminal else Console(width=_PIPE_WIDTH)
    console.print(f"{name}\n{report.digest} {report.media_type}", highlight=False, markup=False)
    for manifest in report.manifests:
        console.print(_table(manifest))
        lazy = sum(layer.lazy for layer in manifest.layers)
        console.print(f"{lazy} of {len(manifest.layers)} layers are lazy", highlight=False)


def _table(manifest: ManifestReport) -> Table:
    title = f"{manifest.platform} {manifest.digest}" if manifest.platform else None
    table = Table(title=title, title_justify="left")
    for heading in ("layer", "media type"):
        table.add_column(heading, no_wrap=True)
    for heading in ("size", "unpacked", "files"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("lazy")
    table.add_column("TOC digest", no_wrap=True)
    for layer in manifest.layers:
        table.add_row(
            str(layer.digest)[:_SHORT],
            layer.media_type.removeprefix("application/vnd."),
            format_size(layer.blob_bytes),
            "" if layer.uncompressed_bytes is None else format_size(layer.uncompressed_bytes),
            "" if layer.toc is None else str(layer.toc.files),
            "yes" if layer.lazy else f"no: {layer.not_lazy_because}",
            layer.toc_digest[:_SHORT],
        )
    return table
