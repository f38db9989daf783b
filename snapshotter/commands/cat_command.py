"""``pyestargz cat``: thin; the file is found and read by ``estargz.image_files``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import click
import trio

from estargz.errors import NoSuchFileError
from estargz.image_files import open_files
from registry.manifest import Platform
from snapshotter.commands.image_options import image_access_options, single_platform_option
from snapshotter.commands.image_stores import ImageAccess, ImageStores, NamedImage, parse_image


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    image: NamedImage
    path: str
    layer: int | None
    platforms: Sequence[Platform]
    access: ImageAccess


@click.command()
@click.argument("image")
@click.argument("path")
@click.option(
    "--layer", type=click.IntRange(min=0), help="Look at this layer alone; 0 is the lowest."
)
@single_platform_option
@image_access_options
def cat(
    *,
    image: str,
    path: str,
    layer: int | None,
    platforms: Sequence[Platform],
    access: ImageAccess,
) -> None:
    """Prints the file PATH of IMAGE; only its bytes are fetched, and each chunk is verified before it is printed.

    All layers must be lazy. IMAGE is named as for convert.
    """
    task = _Task(
        image=parse_image(image),
        path=path,
        layer=layer,
        platforms=platforms,
        access=access,
    )
    trio.run(_cat, task, sys.stdout.buffer)


async def _cat(task: _Task, output: BinaryIO) -> None:
    async with ImageStores(task.access) as stores:
        source = stores.open(task.image)
        files = await open_files(source, platforms=task.platforms, layer=task.layer)
        node = files.tree.find(task.path)
        if node.entry.type != "reg":
            raise NoSuchFileError(task.path, f"it is no regular file but {node.entry.type!r}")
        async with files.reading(node) as chunks:
            async for chunk in chunks:
                await trio.to_thread.run_sync(output.write, chunk)
        output.flush()
