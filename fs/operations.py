"""The adapter between the kernel and the layers: pyfuse3's calls in, ``fs.layer``'s answers out.

The mount's root holds one directory per layer, ``<algorithm>-<hex>``; a layer that is kept on disk is
attached when its name is looked up. Inode numbers are ``layer number << 32 | index + 1``, so a number
says whose it is and nothing must be remembered for the kernel; what it forgets is of no interest.

Layers never change, so the kernel may keep names, attributes, absent names and pages for ever. The
exceptions are the mount's root, where layers come and go, and a layer's state file.
"""

import functools
import itertools
import logging
import os
import stat
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio
from pyfuse3 import FileHandleT, FileNameT, FlagT, InodeT, XAttrNameT

from fs.errors import (
    NoSuchEntryError,
    NoSuchXattrError,
    NotWritableError,
    StaleLayerError,
    errno_of,
)
from fs.inodes import BLOCK_BYTES, ROOT, Attributes
from fs.layer import Layer
from fs.layers import LayerTable
from fs.state_file import STATE_DIRECTORY, dump_state, state_file_name

_log = logging.getLogger(__name__)

_FOR_EVER_SECONDS = 10 * 365 * 86_400.0
_LAYER_SHIFT = 32
_INDEX_MASK = (1 << _LAYER_SHIFT) - 1
# Indices that no inode table reaches.
_STATE_DIRECTORY_INDEX = _INDEX_MASK - 1
_STATE_FILE_INDEX = _INDEX_MASK - 2
_MOUNT_ROOT = Attributes(mode=stat.S_IFDIR | 0o755, nlink=2)
_STATE_DIRECTORY_ATTRIBUTES = Attributes(mode=stat.S_IFDIR | 0o500, nlink=2)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """How long a reader waits at the most before it is told EIO."""

    deadline_seconds: float = 120.0


def _guarded(
    handler: Callable[Concatenate["LayerOperations", P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["LayerOperations", P], Coroutine[Any, Any, T]]:
    """The one error boundary: what escapes a handler ends the mount for everybody."""

    @functools.wraps(handler)
    async def guarded(self: "LayerOperations", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(self, *args, **kwargs)
        except Exception as error:  # the FUSE boundary
            number = errno_of(error)
            if number is None:
                _log.exception("bug: unforeseen error in %s%s", handler.__name__, args)
                number = errno_of(OSError())
            raise pyfuse3.FUSEError(number or 0) from error

    return guarded


class LayerOperations(pyfuse3.Operations):
    """Serves every attached layer in one mount."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, layers: LayerTable, settings: ReadSettings | None = None) -> None:
        super().__init__()
        self._layers = layers
        self._settings = settings or ReadSettings()
        self._handles = itertools.count(1)
        self._listings: dict[int, Sequence[tuple[bytes, InodeT]]] = {}
        self._state_contents: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"<LayerOperations {self._layers!r}>"

    # Names and attributes

    @_guarded
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Finds a name; an absent one is remembered by the kernel, except in the mount's root."""
        if parent_inode == pyfuse3.ROOT_INODE:
            try:
                layer = await self._layers.find(name)
            except StaleLayerError as error:
                raise NoSuchEntryError(name) from error
            return self._entry(_inode(layer, ROOT))
        layer, index = self._resolve(parent_inode)
        if index == ROOT and name == STATE_DIRECTORY:
            return self._entry(_inode(layer, _STATE_DIRECTORY_INDEX))
        if index == _STATE_DIRECTORY_INDEX:
            if name != state_file_name(layer.statistics()):
                raise NoSuchEntryError(name)
            return self._entry(_inode(layer, _STATE_FILE_INDEX))
        try:
            return self._entry(_inode(layer, layer.image.inodes.lookup(index, name)))
        except NoSuchEntryError:
            return _absent()

    @_guarded
    async def getattr(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What ``stat`` tells."""
        return self._entry(inode)

    @_guarded
    async def readlink(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> FileNameT:
        """A symbolic link's target."""
        layer, index = self._resolve(inode)
        return FileNameT(layer.image.inodes.target(index))

    @_guarded
    async def getxattr(self, inode: InodeT, name: XAttrNameT, ctx: pyfuse3.RequestContext) -> bytes:
        """An extended attribute; overlayfs asks for its own at every directory."""
        value = self._xattrs(inode).get(name)
        if value is None:
            raise NoSuchXattrError(name)
        return value

    @_guarded
    async def listxattr(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> Sequence[XAttrNameT]:
        """The names of all extended attributes."""
        return [XAttrNameT(name) for name in self._xattrs(inode)]

    # Directories

    @_guarded
    async def opendir(self, inode: InodeT, ctx: pyfuse3.RequestContext) -> FileHandleT:
        """Fixes the listing that ``readdir`` will page through."""
        handle = FileHandleT(next(self._handles))
        self._listings[handle] = self._listing(inode)
        return handle

    @_guarded
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Names and attributes together, from the position where the last call stopped."""
        listing = self._listings[fh]
        for position in range(start_id, len(listing)):
            name, inode = listing[position]
            if not pyfuse3.readdir_reply(token, FileNameT(name), self._entry(inode), position + 1):
                break

    @_guarded
    async def releasedir(self, fh: FileHandleT) -> None:
        """Drops the listing."""
        del self._listings[fh]

    # Content

    @_guarded
    async def open(
        self, inode: InodeT, flags: FlagT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.FileInfo:
        """Opens for reading. A file's handle is its inode number."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise NotWritableError
        layer, index = self._resolve(inode)
        if index == _STATE_FILE_INDEX:
            handle = FileHandleT(next(self._handles))
            self._state_contents[handle] = dump_state(layer.statistics())
            return pyfuse3.FileInfo(fh=handle, direct_io=True)
        return pyfuse3.FileInfo(fh=FileHandleT(inode), keep_cache=True)

    @_guarded
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Content, as soon as it is here and verified."""
        state = self._state_contents.get(fh)
        if state is not None:
            return state[off : off + size]
        layer, index = self._resolve(InodeT(fh))
        with trio.fail_after(self._settings.deadline_seconds):
            return await layer.read(index, offset=off, size=size)

    @_guarded
    async def release(self, fh: FileHandleT) -> None:
        """Drops a state file's content; other handles hold nothing."""
        self._state_contents.pop(fh, None)

    @_guarded
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """The size of all attached content; a read-only file system has no room left."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = BLOCK_BYTES
        data.f_blocks = sum(s.content_bytes for s in self._layers.statistics()) // BLOCK_BYTES
        data.f_bfree = data.f_bavail = 0
        data.f_files = data.f_ffree = data.f_favail = 0
        data.f_namemax = 255
        return data

    def _resolve(self, inode: InodeT) -> tuple[Layer, int]:
        return self._layers.numbered(inode >> _LAYER_SHIFT), (inode & _INDEX_MASK) - 1

    def _xattrs(self, inode: InodeT) -> Mapping[bytes, bytes]:
        if inode == pyfuse3.ROOT_INODE:
            return {}
        layer, index = self._resolve(inode)
        inodes = layer.image.inodes
        return inodes.xattrs(index) if index < len(inodes) else {}

    def _listing(self, inode: InodeT) -> list[tuple[bytes, InodeT]]:
        if inode == pyfuse3.ROOT_INODE:
            return []  # layers are found by name; who looks for all of them asks the control socket
        layer, index = self._resolve(inode)
        if index == _STATE_DIRECTORY_INDEX:
            return [(state_file_name(layer.statistics()), _inode(layer, _STATE_FILE_INDEX))]
        inodes = layer.image.inodes
        names = sorted(inodes.children(index).items())
        dots = [(b".", index), (b"..", inodes.parent(index))]
        return [(name, _inode(layer, child)) for name, child in dots + names]

    def _entry(self, inode: InodeT) -> pyfuse3.EntryAttributes:
        if inode == pyfuse3.ROOT_INODE:
            return _entry_attributes(inode, _MOUNT_ROOT, valid_seconds=_FOR_EVER_SECONDS)
        layer, index = self._resolve(inode)
        if index == _STATE_FILE_INDEX:
            size = len(dump_state(layer.statistics()))
            attributes = Attributes(mode=stat.S_IFREG | 0o400, size=size)
            return _entry_attributes(inode, attributes, valid_seconds=0)
        if index == _STATE_DIRECTORY_INDEX:
            attributes = _STATE_DIRECTORY_ATTRIBUTES
        else:
            attributes = layer.image.inodes.attributes(index)
        return _entry_attributes(inode, attributes, valid_seconds=_FOR_EVER_SECONDS)


def _inode(layer: Layer, index: int) -> InodeT:
    return InodeT(layer.number << _LAYER_SHIFT | index + 1)


def _entry_attributes(
    inode: InodeT, attributes: Attributes, *, valid_seconds: float
) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode
    entry.st_mode = pyfuse3.ModeT(attributes.mode)
    entry.st_nlink = attributes.nlink
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    entry.st_rdev = attributes.rdev
    entry.st_size = attributes.size
    entry.st_blksize = BLOCK_BYTES
    entry.st_blocks = attributes.blocks
    entry.st_atime_ns = entry.st_ctime_ns = entry.st_mtime_ns = attributes.mtime_ns
    entry.entry_timeout = entry.attr_timeout = valid_seconds
    return entry


def _absent() -> pyfuse3.EntryAttributes:
    """An answer that lets the kernel remember that there is no such name."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = InodeT(0)
    entry.entry_timeout = _FOR_EVER_SECONDS
    return entry
