"""Layers as EROFS mounts of their own: shared by all snapshots, kept over restarts, switched when complete.

    <root>/erofs/<layer>   a mount whose content the data server brings
    <root>/local/<layer>   a mount on the complete ``data`` file: it needs no process
    <root>/trees/<layer>   a symbolic link to one of them, which snapshots lead to

Who has a mount keeps it, whatever happens here: overlayfs holds its own reference. A link is there only
while its mount is, so that nobody takes an empty directory for a layer.
"""

import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from estargz.errors import EstargzError
from fs.erofs.data_connection import data_mountpoint
from fs.erofs.data_server import DataServer
from fs.erofs.metadata_file import METADATA_NAME, write_metadata
from fs.erofs.mounts import Access, Content, mount_layer
from fs.errors import FsError, MountError, UnrepresentableError
from fs.kernel_pins import pin_for_kernel
from fs.layer import Layer
from fs.layer_directory import LayerDirectories
from fs.layer_trees import LayerTrees
from fs.layers import LayerTable
from fs.mounting import mountpoints_below, unmount_lazily
from fs.present_file import DATA_NAME
from registry.digest import Digest
from registry.errors import ContentError

_log = logging.getLogger(__name__)
_LINKS = "trees"
_PLACES = {Content.SERVED: "erofs", Content.LOCAL: "local"}


class ErofsTrees:
    """The mounts under one root. What EROFS cannot show, ``fallback`` does."""

    def __init__(
        self,
        root: Path,
        layers: LayerTable,
        directories: LayerDirectories,
        server: DataServer,
        *,
        access: Access,
        fallback: LayerTrees,
    ) -> None:
        self._links = root / _LINKS
        self._places = {content: root / name for content, name in _PLACES.items()}
        self._layers = layers
        self._directories = directories
        self._server = server
        self._data_mountpoint = data_mountpoint(root)
        self._access = access
        self._fallback = fallback
        self._shown: dict[Digest, Content] = {}
        self._left: set[Digest] = set()  # to the fallback
        self._changing: defaultdict[Digest, trio.Lock] = defaultdict(trio.Lock)
        self._nursery: trio.Nursery

    def __repr__(self) -> str:
        return f"<ErofsTrees {len(self._shown)} layers>"

    def is_shown(self, digest: Digest) -> bool:
        """Whether a layer has its mount, or was left to the other backend."""
        return digest in self._shown or digest in self._left

    async def show(self, layer: Layer) -> Path:
        """The link that leads to a layer's mount, which is made if there is none; a better one takes its place.

        Raises:
            OSError: the disk is full or broken.
        """
        with layer.store.pinned():  # or what is complete might be evicted before the kernel has it
            return await self._show(layer)

    async def _show(self, layer: Layer) -> Path:
        # What the kernel reads by itself cannot be evicted: there must be room for others besides.
        is_local = layer.store.is_complete and layer.store.has_spare_room
        content = Content.LOCAL if is_local else Content.SERVED
        if content is Content.SERVED:
            self._server.serve(layer)
        async with self._changing[layer.digest]:
            shown = self._shown.get(layer.digest)
            if shown is content or shown is Content.LOCAL:
                return self._link(layer.digest)
            try:
                await trio.to_thread.run_sync(self._mount, layer, content)
            except (UnrepresentableError, MountError, OSError) as error:
                fields = {"layer": str(layer.digest), "error": str(error)}
                _log.warning("layer is left to FUSE", extra={"fields": fields})
                self._left.add(layer.digest)
                return await self._fallback.show(layer)
            self._shown[layer.digest] = content
            if content is Content.SERVED:
                self._nursery.start_soon(self._show_complete, layer)
        fields = {"layer": str(layer.digest), "content": content.value}
        _log.info("layer mounted", extra={"fields": fields})
        return self._link(layer.digest)

    async def hide(self, digest: Digest) -> None:
        """Takes a layer's mounts away; who has them keeps them, but what is missing of it is not fetched any more."""
        async with self._changing[digest]:
            if digest in self._left:
                self._left.discard(digest)
                await self._fallback.hide(digest)
            self._shown.pop(digest, None)
            await trio.to_thread.run_sync(self._unmount, digest.file_name)
            self._server.forget(digest)

    @asynccontextmanager
    async def kept_up(self, *, is_served: bool) -> AsyncIterator[None]:
        """Begins with what a former process left, shows every kept layer, and later its complete content.

        Args:
            is_served: whether the data server answers on the connection that these mounts were made with. If not,
                those that need it can only fail, and are made anew.

        Raises:
            MountError: the kernel does not let go of one.
            OSError: the disk is broken.
        """
        kept = await trio.to_thread.run_sync(self._recover, is_served)
        async with trio.open_nursery() as self._nursery:
            for digest in kept:
                self._nursery.start_soon(self._show_kept, digest)
            yield
            self._nursery.cancel_scope.cancel()

    async def _show_kept(self, digest: Digest) -> None:
        try:
            await self.show(await self._layers.find(digest.file_name.encode()))
        except (FsError, EstargzError, ContentError, OSError) as error:
            fields = {"layer": str(digest), "error": str(error)}
            _log.warning("kept layer cannot be shown yet", extra={"fields": fields})

    async def _show_complete(self, layer: Layer) -> None:
        """Lets the next container use a layer's local content, once it is all there."""
        await layer.filled.wait()
        if layer.store.is_complete and layer.digest in self._shown:
            await self.show(layer)

    def _recover(self, is_served: bool) -> list[Digest]:  # noqa: FBT001 - it comes out of a thread call
        """Takes stock of the mounts there are; gives the layers that are kept."""
        for directory in (self._links, *self._places.values()):
            directory.mkdir(mode=0o700, exist_ok=True)
        kept = self._directories.kept()
        for content, place in self._places.items():  # a layer that has both counts as local
            for mountpoint in set(mountpoints_below(place)):
                digest = _digest_of(mountpoint.name)
                if digest in kept and (content is Content.LOCAL or is_served):
                    self._shown[digest] = content
                else:
                    _unmount(mountpoint)
                    fields = {"layer": str(digest)}
                    _log.warning("its containers must be started again", extra={"fields": fields})
        for link in self._links.iterdir():
            if _digest_of(link.name) not in self._shown:
                link.unlink()
        for digest, content in self._shown.items():
            _replace_link(self._link(digest), self._places[content] / digest.file_name)
        return kept

    def unmount_all(self) -> None:
        """Takes every mount away, lazily; it blocks.

        Raises:
            MountError: the kernel does not let go of one.
        """
        unmount_trees(self._links.parent)

    def _link(self, digest: Digest) -> Path:
        return self._links / digest.file_name

    # In a thread

    def _mount(self, layer: Layer, content: Content) -> None:
        """Mounts a layer and lets its link lead there."""
        name = layer.digest.file_name
        directory = self._directories.path(layer.digest)
        metadata = directory / METADATA_NAME
        if not metadata.exists():
            write_metadata(layer.image, directory, layer=layer.digest)
        if content is Content.LOCAL:
            pin_for_kernel(directory)
            data = directory / DATA_NAME
        else:
            data = self._data_mountpoint / name
        mountpoint = self._places[content] / name
        mountpoint.mkdir(mode=0o700, exist_ok=True)
        mount_layer(metadata, data, mountpoint, access=self._access, content=content)
        _replace_link(self._link(layer.digest), mountpoint)
        if content is Content.LOCAL:
            _unmount(self._places[Content.SERVED] / name)

    def _unmount(self, name: str) -> None:
        (self._links / name).unlink(missing_ok=True)
        for place in self._places.values():
            _unmount(place / name)


def unmount_trees(root: Path) -> None:
    """Takes away every mount that was made under a root, lazily; it blocks.

    Raises:
        MountError: the kernel does not let go of one.
    """
    for link in (root / _LINKS).glob("*"):
        link.unlink()
    for name in _PLACES.values():
        for mountpoint in (root / name).glob("*"):
            _unmount(mountpoint)


def mountpoints_of(root: Path, digest: Digest) -> tuple[Path, Path]:
    """Where a layer is mounted that the data server serves, and where on its complete content."""
    served, local = (root / _PLACES[content] for content in (Content.SERVED, Content.LOCAL))
    return served / digest.file_name, local / digest.file_name


def _unmount(mountpoint: Path) -> None:
    unmount_lazily(mountpoint)
    with contextlib.suppress(FileNotFoundError):
        mountpoint.rmdir()


def _replace_link(link: Path, target: Path) -> None:
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)


def _digest_of(name: str) -> Digest:
    return Digest.parse(name.replace("-", ":", 1))
