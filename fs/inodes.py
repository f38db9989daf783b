"""The inode table: a layer's tree, in columns, as overlayfs wants to see it.

An inode is named by its index; 0 is the layer's root. Names are bytes. Whiteouts are character
devices 0:0, opaque directories carry their extended attribute, landmarks are gone: all decided when
the table is made (``fs.compiling``), nothing while it is read.
"""

import stat
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fs.errors import NoSuchEntryError, WrongKindError

ROOT = 0
BLOCK_BYTES = 4096
_NO_XATTRS: Mapping[bytes, bytes] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What ``stat`` tells of an inode; ``mode`` includes the file type."""

    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    rdev: int = 0
    nlink: int = 1

    @property
    def blocks(self) -> int:
        """The size in units of 512 bytes, rounded up to whole 4 KiB blocks."""
        return -(-self.size // BLOCK_BYTES) * (BLOCK_BYTES // 512)


@dataclass(frozen=True, slots=True)
class Extent:
    """A regular file's content in the data space."""

    offset: int
    size: int


class InodeTable:
    """A layer's inodes; filled by ``fs.compiling``, read-only afterwards."""

    def __init__(self) -> None:
        self._modes = array("I")
        self._uids = array("I")
        self._gids = array("I")
        self._sizes = array("Q")
        self._mtimes = array("q")
        self._rdevs = array("Q")
        self._nlinks = array("I")
        self._data_offsets = array("Q")
        self._children: dict[int, dict[bytes, int]] = {}
        self._parents = array("I")
        self._names: list[bytes] = []
        self._targets: dict[int, bytes] = {}
        self._xattrs: dict[int, dict[bytes, bytes]] = {}

    def __len__(self) -> int:
        return len(self._modes)

    def __repr__(self) -> str:
        return f"<InodeTable {len(self)} inodes>"

    # Making

    def add(self, attributes: Attributes, *, name: bytes, parent: int) -> int:
        """Adds an inode that no directory mentions yet, and gives its index."""
        index = len(self._modes)
        for column in (self._modes, self._uids, self._gids, self._sizes, self._mtimes):
            column.append(0)
        for column in (self._rdevs, self._nlinks, self._data_offsets):
            column.append(0)
        self._parents.append(parent)
        self._names.append(name)
        self.set_attributes(index, attributes)
        if stat.S_ISDIR(attributes.mode):
            self._children[index] = {}
        return index

    def set_attributes(self, index: int, attributes: Attributes) -> None:
        """Replaces what ``stat`` tells of an inode."""
        self._modes[index] = attributes.mode
        self._uids[index] = attributes.uid
        self._gids[index] = attributes.gid
        self._sizes[index] = attributes.size
        self._mtimes[index] = attributes.mtime_ns
        self._rdevs[index] = attributes.rdev
        self._nlinks[index] = attributes.nlink

    def set_nlink(self, index: int, count: int) -> None:
        """Replaces an inode's link count."""
        self._nlinks[index] = count

    def set_data_offset(self, index: int, offset: int) -> None:
        """Places a regular file's content in the data space."""
        self._data_offsets[index] = offset

    def set_target(self, index: int, target: bytes) -> None:
        """Gives a symbolic link its target."""
        self._targets[index] = target

    def set_xattrs(self, index: int, xattrs: dict[bytes, bytes]) -> None:
        """Gives an inode its extended attributes."""
        self._xattrs[index] = xattrs

    def link(self, directory: int, name: bytes, index: int) -> None:
        """Enters a name into a directory; an older entry of that name is replaced."""
        self.children(directory)[name] = index

    # Reading

    def is_directory(self, index: int) -> bool:
        """Whether an inode is a directory."""
        return stat.S_ISDIR(self._modes[index])

    def attributes(self, index: int) -> Attributes:
        """What ``stat`` tells of an inode."""
        return Attributes(
            mode=self._modes[index],
            uid=self._uids[index],
            gid=self._gids[index],
            size=self._sizes[index],
            mtime_ns=self._mtimes[index],
            rdev=self._rdevs[index],
            nlink=self._nlinks[index],
        )

    def children(self, index: int) -> dict[bytes, int]:
        """A directory's entries.

        Raises:
            WrongKindError: the inode is no directory.
        """
        children = self._children.get(index)
        if children is None:
            raise WrongKindError(self.path(index), "a directory")
        return children

    def lookup(self, directory: int, name: bytes) -> int:
        """The inode that a directory has under a name.

        Raises:
            NoSuchEntryError: there is none.
            WrongKindError: the inode is no directory.
        """
        index = self.children(directory).get(name)
        if index is None:
            raise NoSuchEntryError(name)
        return index

    def parent(self, index: int) -> int:
        """The directory that an inode was first entered in; the root is its own."""
        return self._parents[index]

    def target(self, index: int) -> bytes:
        """A symbolic link's target.

        Raises:
            WrongKindError: the inode is no symbolic link.
        """
        target = self._targets.get(index)
        if target is None:
            raise WrongKindError(self.path(index), "a symbolic link")
        return target

    def xattrs(self, index: int) -> Mapping[bytes, bytes]:
        """An inode's extended attributes."""
        return self._xattrs.get(index, _NO_XATTRS)

    def extent(self, index: int) -> Extent:
        """Where a regular file's content lies.

        Raises:
            WrongKindError: the inode is no regular file.
        """
        if not stat.S_ISREG(self._modes[index]):
            raise WrongKindError(self.path(index), "a regular file")
        return Extent(self._data_offsets[index], self._sizes[index])

    def path(self, index: int) -> str:
        """An inode's first path in the layer, for messages."""
        names: list[bytes] = []
        while index != ROOT:
            names.append(self._names[index])
            index = self._parents[index]
        return "/" + b"/".join(reversed(names)).decode(errors="replace")

    def file_at(self, data_offset: int) -> str:
        """The path of the file that has content at a data offset, for messages: a slow search."""
        for index in self._regular_files():
            extent = self.extent(index)
            if extent.offset <= data_offset < extent.offset + extent.size:
                return self.path(index)
        return "(no file)"

    def _regular_files(self) -> Iterator[int]:
        return (index for index, mode in enumerate(self._modes) if stat.S_ISREG(mode))
