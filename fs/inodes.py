"""The inode table: a layer's tree, in columns, as overlayfs wants to see it.

An inode is named by its index; 0 is the layer's root. Names are bytes. Whiteouts are character
devices 0:0, opaque directories carry their extended attribute, landmarks are gone: all decided when
the table is made (``fs.compiling``), nothing while it is read.

The columns are views of packed sections, mapped from the layer's ``tree`` file: no object is kept of an
inode. A directory's entries are neighbours, sorted by name, so a lookup is a bisection.
"""

import stat
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from fs.errors import NoSuchEntryError, WrongKindError
from fs.packed_file import Buffer
from fs.xattr_sets import NO_XATTRS, parse_xattrs

ROOT = 0
BLOCK_BYTES = 4096
TREE_SECTIONS = 15
# A directory's ``place``: how many entries it has, above the position of the first.
PLACE_COUNT_SHIFT = 32
_PLACE_MASK = (1 << PLACE_COUNT_SHIFT) - 1


class Attributes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What ``stat`` tells of an inode; ``mode`` includes the file type.

    Two are made of each inode while a layer is compiled: a struct costs a twelfth of a frozen dataclass.
    """

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
    """A layer's inodes. The columns are public, one number for each inode.

    Attributes:
        sections: all of it, as it is packed.
        modes: with the file type.
        uids: owners.
        gids: groups.
        nlinks: how many names it has; 0 for one that a later entry of its name replaced.
        parents: the directory that it was first entered in; the root is its own.
        xattr_sets: the number of its set of extended attributes; 0 for none.
        sizes: of content or target in bytes, 0 for directories.
        mtimes_ns: nanoseconds since 1970.
        places: of a regular file, its content's data offset; of a symbolic link, where its target begins; of a device,
            its number; of a directory, the position of its first entry, and how many there are above bit 32.
    """

    def __init__(self, sections: Sequence[Buffer]) -> None:
        views = self.sections = [memoryview(section).cast("B") for section in sections]
        columns = [view.cast("I") for view in views[:9]]
        self.modes, self.uids, self.gids, self.nlinks, self.parents, self.xattr_sets = columns[:6]
        self._entry_inodes, self._name_starts, self._xattr_starts = columns[6:]
        self.sizes, self.places = (view.cast("Q") for view in views[9:11])
        self.mtimes_ns = views[11].cast("q")
        self._names, self._targets, self._xattrs = views[12:]

    def __len__(self) -> int:
        return len(self.modes)

    def __repr__(self) -> str:
        return f"<InodeTable {len(self)} inodes>"

    def is_directory(self, index: int) -> bool:
        """Whether an inode is a directory."""
        return stat.S_ISDIR(self.modes[index])

    def attributes(self, index: int) -> Attributes:
        """What ``stat`` tells of an inode."""
        mode = self.modes[index]
        is_device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
        return Attributes(
            mode=mode,
            uid=self.uids[index],
            gid=self.gids[index],
            size=self.sizes[index],
            mtime_ns=self.mtimes_ns[index],
            rdev=self.places[index] if is_device else 0,
            nlink=self.nlinks[index],
        )

    def entries(self, index: int, first: int = 0) -> Iterator[tuple[bytes, int]]:
        """A directory's names and inodes, sorted by name, from the ``first``-th on.

        Raises:
            WrongKindError: the inode is no directory.
        """
        positions = self._positions(index)[first:]
        inodes = self._entry_inodes[positions.start : positions.stop]
        return zip(map(self._name, positions), inodes, strict=True)

    def children(self, index: int) -> dict[bytes, int]:
        """All of a directory's entries at once.

        Raises:
            WrongKindError: the inode is no directory.
        """
        return dict(self.entries(index))

    def lookup(self, directory: int, name: bytes) -> int:
        """The inode that a directory has under a name.

        Raises:
            NoSuchEntryError: there is none.
            WrongKindError: the inode is no directory.
        """
        positions = self._positions(directory)
        position = bisect_left(positions, name, key=self._name) + positions.start
        if position == positions.stop or self._name(position) != name:
            raise NoSuchEntryError(name)
        return self._entry_inodes[position]

    def _name(self, position: int) -> bytes:
        """The name of the entry at a position."""
        return bytes(self._names[self._name_starts[position] : self._name_starts[position + 1]])

    def _positions(self, index: int) -> range:
        """Where a directory's entries are."""
        if not stat.S_ISDIR(self.modes[index]):
            raise WrongKindError(self.path(index), "a directory")
        place = self.places[index]
        first = place & _PLACE_MASK
        return range(first, first + (place >> PLACE_COUNT_SHIFT))

    def parent(self, index: int) -> int:
        """The directory that an inode was first entered in; the root is its own."""
        return self.parents[index]

    def target(self, index: int) -> bytes:
        """A symbolic link's target.

        Raises:
            WrongKindError: the inode is no symbolic link.
        """
        if not stat.S_ISLNK(self.modes[index]):
            raise WrongKindError(self.path(index), "a symbolic link")
        start = self.places[index]
        return bytes(self._targets[start : start + self.sizes[index]])

    def xattrs(self, index: int) -> Mapping[bytes, bytes]:
        """An inode's extended attributes."""
        number = self.xattr_sets[index]
        if not number:
            return NO_XATTRS
        start, end = self._xattr_starts[number - 1], self._xattr_starts[number]
        return parse_xattrs(bytes(self._xattrs[start:end]))

    def extent(self, index: int) -> Extent:
        """Where a regular file's content lies.

        Raises:
            WrongKindError: the inode is no regular file.
        """
        if not stat.S_ISREG(self.modes[index]):
            raise WrongKindError(self.path(index), "a regular file")
        return Extent(self.places[index], self.sizes[index])

    def path(self, index: int) -> str:
        """An inode's first path in the layer, for messages: a slow search."""
        names: list[bytes] = []
        while index != ROOT:
            names.append(self._name_in(self.parents[index], index))
            index = self.parents[index]
        return "/" + b"/".join(reversed(names)).decode(errors="replace")

    def _name_in(self, directory: int, index: int) -> bytes:
        return next((name for name, child in self.entries(directory) if child == index), b"?")

    def file_at(self, data_offset: int) -> str:
        """The path of a file that has content at a data offset, for messages: a slow search."""
        for index, mode in enumerate(self.modes):
            if stat.S_ISREG(mode) and self.nlinks[index]:
                extent = self.extent(index)
                if extent.offset <= data_offset < extent.offset + extent.size:
                    return self.path(index)
        return "(no file)"
