"""``pyestargz ls``: thin; the files are found by ``estargz.image_files``."""

import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
import trio

from estargz.image_files import ImageFiles, open_files
from estargz.image_tree import FileNode, walk
from registry.manifest import Platform
from snapshotter.commands.image_options import (
    image_access_options,
    printable,
    single_platform_option,
)
from snapshotter.commands.image_stores import ImageAccess, ImageStores, NamedImage, parse_image

_TYPE_BITS: Final = {
    "dir": stat.S_IFDIR,
    "reg": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}


@dataclass(frozen=True, slots=True)
class _Listed:
    path: str
    node: FileNode


@click.command()
@click.argument("image")
@click.argument("path", default="/")
@click.option("-l", "--long", "is_long", is_flag=True, help="Modes, owners, sizes and times, too.")
@click.option("-R", "--recursive", is_flag=True, help="All that is below PATH.")
@click.option(
    "--layer", type=click.IntRange(min=0), help="Look at this layer alone; 0 is the lowest."
)
@single_platform_option
@image_access_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ls(  # noqa: PLR0913 - one parameter for each option
    *,
    image: str,
    path: str,
    is_long: bool,
    recursive: bool,
    layer: int | None,
    platforms: Sequence[Platform],
    access: ImageAccess,
    as_json: bool,
) -> None:
    """Lists the files at PATH in IMAGE, as a container would see them, without downloading it.

    All layers must be lazy. IMAGE is named as for convert.
    """
    files = trio.run(_open, parse_image(image), access, platforms, layer)
    listed = list(_list(files, path, recursive=recursive))
    if as_json:
        documents = [file_document(one.path, one.node) for one in listed]
        click.echo(json.dumps(documents, indent=2))
    elif listed:
        show = _long_line if is_long else _short_line
        click.echo("\n".join(show(one) for one in listed))


async def _open(
    name: NamedImage, access: ImageAccess, platforms: Sequence[Platform], layer: int | None
) -> ImageFiles:
    async with ImageStores(access) as stores:
        return await open_files(stores.open(name), platforms=platforms, layer=layer)


def _list(files: ImageFiles, path: str, *, recursive: bool) -> Iterator[_Listed]:
    node = files.tree.find(path)
    if not node.is_directory:
        yield _Listed(path, node)
    elif recursive:
        for below, child in walk(node, ""):
            yield _Listed(below, child)
    else:
        for child_name, child in sorted(node.children.items()):
            yield _Listed(child_name, child)


def file_document(path: str, node: FileNode) -> dict[str, Any]:
    """A file as ``--json`` prints it; field names are stable."""
    entry = node.entry
    return {
        "path": path,
        "type": entry.type,
        "mode": entry.mode & 0o7777,
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "modtime": entry.modtime or None,
        "linkName": entry.link_name or None,
        "digest": entry.digest or None,
        "layer": node.layer,
    }


def _short_line(listed: _Listed) -> str:
    return printable(listed.path)


def _long_line(listed: _Listed) -> str:
    entry = listed.node.entry
    mode = stat.filemode(_TYPE_BITS[entry.type] | (entry.mode & 0o7777))
    size = f"{entry.dev_major},{entry.dev_minor}" if entry.type in {"char", "block"} else entry.size
    target = f" -> {printable(entry.link_name)}" if entry.type == "symlink" else ""
    time = entry.modtime or "1970-01-01T00:00:00Z"
    name = printable(listed.path)
    return f"{mode} {entry.uid:>5} {entry.gid:>5} {size:>10} {printable(time)} {name}{target}"
