"""The ways to serve a tree that ``benchmarks.fs`` compares: one ``Column`` each. A new one is added to ``COLUMNS``.

What containers see of a layer is an overlayfs above it, so that is what is measured, except in the first column: the
tree as it lies on the disk.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.fs_tree import RegistryLayer, Tree
from fs.filling import FillSettings
from fs.mounting import mount, unmount_lazily
from fs.settings import Backend, FsSettings
from tests.fs.fs_server import FsServer

_NOTHING_UNASKED = FillSettings(prefetch=False, background=False)


@dataclass(frozen=True, slots=True)
class Material:
    """What columns are made of.

    Attributes:
        tree: the files.
        layer: the same as a layer in a registry.
        work: an empty directory of the column's own.
    """

    tree: Tree
    layer: RegistryLayer
    work: Path


@dataclass(frozen=True, slots=True)
class Served:
    """A tree that can be read.

    Attributes:
        root: where.
        processes: the ids of those that serve it; their CPU time is told.
        is_lazy: whether content is fetched when it is first read.
    """

    root: Path
    processes: Sequence[int] = ()
    is_lazy: bool = False


Column = Callable[[Material], AbstractContextManager[Served]]


@contextmanager
def on_disk(material: Material) -> Iterator[Served]:
    yield Served(material.tree.root)


@contextmanager
def overlayfs(material: Material) -> Iterator[Served]:
    with stacked(material.tree.root, material.work) as root:
        yield Served(root)


@contextmanager
def fs_server(backend: Backend, material: Material) -> Iterator[Served]:
    settings = FsSettings(backend=backend, filling=_NOTHING_UNASKED)
    with FsServer(material.work, settings) as server:
        directory = server.attach(material.layer)
        with stacked(directory, material.work) as root:
            yield Served(root, processes=(server.pid,), is_lazy=True)


@contextmanager
def complete(material: Material) -> Iterator[Served]:
    """A layer that was complete before it was mounted: the kernel needs nobody."""
    settings = FsSettings(backend=Backend.EROFS, filling=_NOTHING_UNASKED)
    with FsServer(material.work, settings) as server:
        directory = server.attach(material.layer)
        everything = ["find", f"{directory}/", "-type", "f", "-exec", "cat", "{}", "+"]
        subprocess.run(everything, stdout=subprocess.DEVNULL, check=True)
        server.attach(material.layer)
        with stacked(directory, material.work) as root:
            yield Served(root, processes=(server.pid,))


@contextmanager
def native_erofs(material: Material) -> Iterator[Served]:
    """The same files as erofs-utils put them into an image."""
    image, mountpoint = material.work / "image", material.work / "mnt"
    subprocess.run(["mkfs.erofs", image, material.tree.root], stdout=subprocess.DEVNULL, check=True)
    mountpoint.mkdir()
    mount("erofs", str(image), mountpoint, {})
    try:
        with stacked(mountpoint, material.work) as root:
            yield Served(root)
    finally:
        unmount_lazily(mountpoint)


@contextmanager
def stacked(lower: Path, work: Path) -> Iterator[Path]:
    """An overlayfs above a directory, and an empty one: it wants two when nothing can be written."""
    empty, merged = work / "empty", work / "merged"
    for directory in (empty, merged):
        directory.mkdir()
    options = f"lowerdir={lower}:{empty}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)


COLUMNS: Mapping[str, Column] = {
    "disk": on_disk,
    "overlayfs": overlayfs,
    "fuse": partial(fs_server, Backend.FUSE),
    "erofs": partial(fs_server, Backend.EROFS),
    "complete": complete,
    "native": native_erofs,
}
