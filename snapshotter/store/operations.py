"""The adapter between the kernel and an Additional Layer Store: the directory that podman and CRI-O look into.

    <base64 of the image's name>/<digest of a layer, or of its TOC>/
        diff    a symbolic link to where the fs server shows the layer, so that containers depend on that and not on this mount
        info    JSON, as containers/storage keeps it of its own layers
        blob    the layer as it is in the registry, verified: reading begins when all of it has arrived
        use     never there: creating it counts a use, and removing the layer's directory counts one less. Both answer ENOENT, by which
                containers/storage knows a store that counts (``notifyUseAdditionalLayer``, ``notifyReleaseAdditionalLayer``)

Nothing is listed, as only who knows a name has a use for it. What is not lazy is not there.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pyfuse3
import trio
from pyfuse3 import FileHandleT, FileNameT, FlagT, InodeT, ModeT

from fs import errors as fs_errors
from fs.fuse_boundary import guarded_by
from snapshotter.errors import SnapshotterError
from snapshotter.store.image import NoSuchLayerError, parse_image_name, parse_layer_name
from snapshotter.store.layers import StoreLayers
from snapshotter.store.nodes import (
    USE,
    FileNode,
    ImageNode,
    Kind,
    LayerNode,
    Node,
    NodeTable,
    RootNode,
)

# podman may ask again within these: the fs server may have gone meanwhile, or the image been pushed again.
_KNOWN_SECONDS = 1.0
_ABSENT_SECONDS = 2.0
_FOR_EVER_SECONDS = 10 * 365 * 86_400.0
_BLOCK_BYTES = 4096


def errno_of(error: BaseException) -> int | None:
    """The errno that a failed call on the store's directory returns; None for an error nobody foresaw."""
    if isinstance(error, NoSuchLayerError):
        return errno.ENOENT
    if isinstance(error, SnapshotterError):
        return errno.EIO
    return fs_errors.errno_of(error)


_guarded = guarded_by(errno_of)


class StoreOperations(pyfuse3.Operations):
    """Serves the store's directory.

    Args:
        layers: what is in it.
        staging: where blobs are put, on a file system with room for them.
    """

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, layers: StoreLayers, staging: Path) -> None:
        super().__init__()
        self._layers = layers
        self._staging = staging
        self._nodes = NodeTable()

    def __repr__(self) -> str:
        return f"<StoreOperations {self._nodes!r}>"

    @_guarded
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Finds an image, a layer of it, or what a layer's directory contains; absent names are remembered for a moment."""
        if name == USE:
            raise NoSuchLayerError(repr(name), "it only counts")
        try:
            node = await self._find(self._nodes[parent_inode], name)
        except NoSuchLayerError:
            return _absent()
        return _attributes(node, self._nodes.look_up(node))

    @_guarded
    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Drops what the kernel has forgotten."""
        for inode, count in inode_list:
            self._nodes.forget(inode, count)

    @_guarded
    async def getattr(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What ``stat`` tells."""
        return _attributes(self._nodes[inode], inode)

    @_guarded
    async def readlink(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> FileNameT:
        """Where a layer is shown; it is, when this is answered."""
        node = self._nodes[inode]
        if not isinstance(node, FileNode):
            raise fs_errors.WrongKindError(repr(node), "a link")
        return FileNameT(bytes(await self._layers.attach(node.parent.layer)))

    @_guarded
    async def opendir(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> FileHandleT:
        """Opens for listing."""
        return FileHandleT(inode)

    @_guarded
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Lists nothing."""

    @_guarded
    async def releasedir(self, fh: FileHandleT) -> None:
        """Nothing is held."""

    @_guarded
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: pyfuse3.RequestContext,
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Counts a use; nothing is ever created."""
        parent = self._nodes[parent_inode]
        if name != USE or not isinstance(parent, LayerNode):
            raise fs_errors.NotWritableError
        await self._layers.use(parent.layer)
        raise NoSuchLayerError(repr(name), "counted")

    @_guarded
    async def rmdir(
        self, parent_inode: InodeT, name: FileNameT, ctx: pyfuse3.RequestContext
    ) -> None:
        """Counts a use less; nothing is ever removed."""
        parent = self._nodes[parent_inode]
        if not isinstance(parent, ImageNode):
            raise fs_errors.NotWritableError
        layer = await self._layers.find(parent.reference, parse_layer_name(name))
        await self._layers.release(layer)
        raise NoSuchLayerError(repr(name), "counted")

    @_guarded
    async def open(
        self, inode: InodeT, flags: FlagT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.FileInfo:
        """Opens for reading; a blob, when all of it is here. The handle is the descriptor of a file without a name."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise fs_errors.NotWritableError
        node = self._nodes[inode]
        if not isinstance(node, FileNode):
            raise fs_errors.WrongKindError(repr(node), "a file")
        if node.kind is Kind.BLOB:
            descriptor = await self._layers.fetch_blob(node.parent.layer, self._staging)
        else:
            descriptor = os.memfd_create("info", os.MFD_CLOEXEC)
            os.write(descriptor, _info(node))
        return pyfuse3.FileInfo(fh=FileHandleT(descriptor), keep_cache=True)

    @_guarded
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Content."""
        return await trio.to_thread.run_sync(os.pread, fh, size, off)

    @_guarded
    async def release(self, fh: FileHandleT) -> None:
        """Closes the descriptor."""
        os.close(fh)

    @_guarded
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """No sizes: there is nothing to fill."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _BLOCK_BYTES
        data.f_blocks = data.f_bfree = data.f_bavail = 0
        data.f_files = data.f_ffree = data.f_favail = 0
        data.f_namemax = 2048  # a name in base64 is longer than the name
        return data

    async def _find(self, parent: Node, name: FileNameT) -> Node:
        match parent:
            case RootNode():
                return ImageNode(parse_image_name(name))
            case ImageNode(reference):
                digest = parse_layer_name(name)
                return LayerNode(await self._layers.find(reference, digest), digest)
            case LayerNode() if name in {kind.value for kind in Kind}:
                node = FileNode(parent, Kind(name))
                if (
                    node.kind is Kind.DIFF
                ):  # a layer that cannot be served must not look as if it could
                    await self._layers.attach(parent.layer)
                return node
            case _:
                raise NoSuchLayerError(repr(name), "no layer has that")


def _info(node: FileNode) -> bytes:
    return node.parent.layer.info(node.parent.name)


def _attributes(node: Node, number: int) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = InodeT(number)
    entry.st_nlink = 1
    entry.entry_timeout = _KNOWN_SECONDS
    entry.attr_timeout = _FOR_EVER_SECONDS
    if not isinstance(node, FileNode):
        entry.st_mode = ModeT(stat.S_IFDIR | 0o500)
        entry.st_nlink = 2
    elif node.kind is Kind.DIFF:
        entry.st_mode = ModeT(stat.S_IFLNK | 0o777)
    else:
        is_blob = node.kind is Kind.BLOB
        entry.st_mode = ModeT(stat.S_IFREG | 0o400)
        entry.st_size = node.parent.layer.blob_bytes if is_blob else len(_info(node))
    return entry


def _absent() -> pyfuse3.EntryAttributes:
    """An answer that lets the kernel remember for a moment that there is no such name."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = InodeT(0)
    entry.entry_timeout = _ABSENT_SECONDS
    return entry
