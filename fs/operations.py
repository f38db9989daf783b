"""The adapter between the kernel and the layers: pyfuse3's calls in, ``fs.layer``'s answers out.

The mount's root holds one directory per layer, ``<algorithm>-<hex>``; a layer that is kept on disk is
attached when its name is looked up. Inode numbers are ``layer number << 32 | index + 1``, so a number
says whose it is and nothing must be remembered for the kernel; what it forgets is of no interest.

Layers never change, so the kernel may keep names, attributes, absent names and pages for ever. The
exceptions are the mount's root, where layers come and go, and a layer's state file.
"""

import itertools
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyfuse3
import trio
from pyfuse3 import FileHandleT, FileNameT, FlagT, InodeT, XAttrNameT

from fs.compiling import OPAQUE_XATTR
from fs.durations import Operation
from fs.errors import (
    NoSuchEntryError,
    NoSuchXattrError,
    NotWritableError,
    StaleLayerError,
    errno_of,
)
from fs.fuse_boundary import guarded_by
from fs.inodes import BLOCK_BYTES, ROOT, InodeTable
from fs.layer import Layer
from fs.layers import LayerTable
from fs.rootless import opaque_xattr
from fs.state_file import STATE_DIRECTORY, dump_state, state_file_name

_FOR_EVER_SECONDS = 10 * 365 * 86_400.0
_LAYER_SHIFT = 32
_INDEX_MASK = (1 << _LAYER_SHIFT) - 1
# Indices that no inode table reaches.
_STATE_DIRECTORY_INDEX = _INDEX_MASK - 1
_STATE_FILE_INDEX = _INDEX_MASK - 2
_TYPE_MASK = 0o170000
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_SECTORS_PER_BLOCK = BLOCK_BYTES // 512
_DOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """How long a reader waits at the most before it is told EIO."""

    deadline_seconds: float = 120.0


_guarded = guarded_by(errno_of)


class LayerOperations(pyfuse3.Operations):
    """Serves every attached layer in one mount."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, layers: LayerTable, settings: ReadSettings | None = None) -> None:
        super().__init__()
        self._opaque_xattr = opaque_xattr()
        self._layers = layers
        self._settings = settings or ReadSettings()
        self._handles = itertools.count(1)
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
        """Opens for listing. A directory's handle is its inode number."""
        return FileHandleT(inode)

    @_guarded
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Names and attributes together, from the position where the last call stopped."""
        begin = time.perf_counter()
        listing = self._listing(InodeT(fh), start_id)
        for position, (name, entry) in enumerate(listing, start=start_id + 1):
            if not pyfuse3.readdir_reply(token, FileNameT(name), entry, position):
                break
        self._layers.durations.observe(Operation.READDIR, time.perf_counter() - begin)

    @_guarded
    async def releasedir(self, fh: FileHandleT) -> None:
        """Nothing is held."""

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
        begin = time.perf_counter()
        layer, index = self._resolve(InodeT(fh))
        content = layer.read_at_once(index, offset=off, size=size)
        if content is None:
            with trio.fail_after(self._settings.deadline_seconds):
                content = await layer.read(index, offset=off, size=size)
        layer.durations.observe(Operation.READ, time.perf_counter() - begin)
        return content

    @_guarded
    async def release(self, fh: FileHandleT) -> None:
        """Drops a state file's content; other handles hold nothing."""
        self._state_contents.pop(fh, None)

    @_guarded
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """The size of all attached content, and how many inodes there are; a read-only file system has no room left."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = BLOCK_BYTES
        images = [layer.image for layer in self._layers]
        data.f_blocks = sum(image.data_bytes for image in images) // BLOCK_BYTES
        data.f_files = sum(len(image.inodes) for image in images)
        data.f_bfree = data.f_bavail = data.f_ffree = data.f_favail = 0
        data.f_namemax = 255
        return data

    def _resolve(self, inode: InodeT) -> tuple[Layer, int]:
        return self._layers.numbered(inode >> _LAYER_SHIFT), (inode & _INDEX_MASK) - 1

    def _xattrs(self, inode: InodeT) -> Mapping[bytes, bytes]:
        if inode == pyfuse3.ROOT_INODE:
            return {}
        layer, index = self._resolve(inode)
        inodes = layer.image.inodes
        xattrs = inodes.xattrs(index) if index < len(inodes) else {}
        if OPAQUE_XATTR in xattrs and self._opaque_xattr != OPAQUE_XATTR:
            others = {name: value for name, value in xattrs.items() if name != OPAQUE_XATTR}
            return {**others, self._opaque_xattr: xattrs[OPAQUE_XATTR]}
        return xattrs

    def _listing(
        self, inode: InodeT, first: int
    ) -> Iterator[tuple[bytes, pyfuse3.EntryAttributes]]:
        """A directory's entries from a position on, its dots being the first two."""
        if inode == pyfuse3.ROOT_INODE:
            return  # layers are found by name; who looks for all of them asks the control socket
        layer, index = self._resolve(inode)
        if index == _STATE_DIRECTORY_INDEX:
            file = _inode(layer, _STATE_FILE_INDEX)
            yield from [(state_file_name(layer.statistics()), self._entry(file))][first:]
            return
        inodes = layer.image.inodes
        dots = [(b".", index), (b"..", inodes.parent(index))][first:]
        for name, child in itertools.chain(dots, inodes.entries(index, max(0, first - _DOTS))):
            yield name, _entry_attributes(_inode(layer, child), inodes, child)

    def _entry(self, inode: InodeT) -> pyfuse3.EntryAttributes:
        if inode == pyfuse3.ROOT_INODE:
            return _directory_entry(inode, 0o755)
        layer, index = self._resolve(inode)
        if index == _STATE_DIRECTORY_INDEX:
            return _directory_entry(inode, 0o500)
        if index == _STATE_FILE_INDEX:
            return _state_entry(inode, size=len(dump_state(layer.statistics())))
        return _entry_attributes(inode, layer.image.inodes, index)


def _inode(layer: Layer, index: int) -> InodeT:
    return InodeT(layer.number << _LAYER_SHIFT | index + 1)


def _entry_attributes(inode: InodeT, inodes: InodeTable, index: int) -> pyfuse3.EntryAttributes:
    """What ``stat`` tells, straight from the columns: listings of large trees ask for little else."""
    entry = pyfuse3.EntryAttributes()
    mode, size = inodes.modes[index], inodes.sizes[index]
    entry.st_ino = inode
    entry.st_mode = pyfuse3.ModeT(mode)
    entry.st_nlink = inodes.nlinks[index]
    entry.st_uid = inodes.uids[index]
    entry.st_gid = inodes.gids[index]
    if mode & _TYPE_MASK in _DEVICES:
        entry.st_rdev = inodes.places[index]
    entry.st_size = size
    entry.st_blksize = BLOCK_BYTES
    entry.st_blocks = -(-size // BLOCK_BYTES) * _SECTORS_PER_BLOCK
    entry.st_atime_ns = entry.st_ctime_ns = entry.st_mtime_ns = inodes.mtimes_ns[index]
    entry.entry_timeout = entry.attr_timeout = _FOR_EVER_SECONDS
    return entry


def _directory_entry(inode: InodeT, permissions: int) -> pyfuse3.EntryAttributes:
    """A directory that is in no layer."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode
    entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | permissions)
    entry.st_nlink = 2
    entry.entry_timeout = entry.attr_timeout = _FOR_EVER_SECONDS
    return entry


def _state_entry(inode: InodeT, *, size: int) -> pyfuse3.EntryAttributes:
    """A layer's state file, of which the kernel may remember nothing."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode
    entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | 0o400)
    entry.st_size = size
    entry.st_blocks = -(-size // BLOCK_BYTES) * _SECTORS_PER_BLOCK
    entry.entry_timeout = entry.attr_timeout = 0
    return entry


def _absent() -> pyfuse3.EntryAttributes:
    """An answer that lets the kernel remember that there is no such name."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = InodeT(0)
    entry.entry_timeout = _FOR_EVER_SECONDS
    return entry
