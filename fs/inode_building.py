"""Making an inode table: inodes and names in any order first, then the packed columns of ``fs.inodes``."""

import stat
from array import array
from collections.abc import Mapping
from itertools import accumulate

from fs.inodes import PLACE_COUNT_SHIFT, ROOT, Attributes
from fs.packed_file import Buffer
from fs.xattr_sets import NO_XATTRS, dump_xattrs, parse_xattrs


class InodeTableBuilder:
    """A layer's tree while it is compiled; it begins with its root."""

    def __init__(self, root: Attributes) -> None:
        self._modes = array("I")
        self._uids = array("I")
        self._gids = array("I")
        self._parents = array("I")
        self._xattr_sets = array("I")
        self._sizes = array("Q")
        self._mtimes_ns = array("q")
        self._places = array("Q")
        self._children: dict[int, dict[bytes, int]] = {}
        self._targets = bytearray()
        self._set_numbers: dict[bytes, int] = {}
        self.add(root, parent=ROOT)

    def __len__(self) -> int:
        return len(self._modes)

    def __repr__(self) -> str:
        return f"<InodeTableBuilder {len(self)} inodes>"

    def add(self, attributes: Attributes, *, parent: int) -> int:
        """Adds an inode that no directory mentions yet, and gives its index."""
        index = len(self._modes)
        self._modes.append(attributes.mode)
        self._uids.append(attributes.uid)
        self._gids.append(attributes.gid)
        self._sizes.append(attributes.size)
        self._mtimes_ns.append(attributes.mtime_ns)
        self._places.append(attributes.rdev)
        self._parents.append(parent)
        self._xattr_sets.append(0)
        if stat.S_ISDIR(attributes.mode):
            self._children[index] = {}
        return index

    def set_attributes(self, index: int, attributes: Attributes) -> None:
        """Replaces what ``stat`` tells of an inode that stays of its kind; links are counted when packing."""
        self._modes[index] = attributes.mode
        self._uids[index] = attributes.uid
        self._gids[index] = attributes.gid
        self._sizes[index] = attributes.size
        self._mtimes_ns[index] = attributes.mtime_ns
        self._places[index] = attributes.rdev

    def set_data_offset(self, index: int, offset: int) -> None:
        """Places a regular file's content in the data space."""
        self._places[index] = offset

    def set_target(self, index: int, target: bytes) -> None:
        """Gives a symbolic link its target."""
        self._places[index] = len(self._targets)
        self._sizes[index] = len(target)
        self._targets += target

    def set_xattrs(self, index: int, xattrs: Mapping[bytes, bytes]) -> None:
        """Gives an inode its extended attributes."""
        if xattrs:
            numbers = self._set_numbers
            self._xattr_sets[index] = numbers.setdefault(dump_xattrs(xattrs), len(numbers) + 1)
        else:
            self._xattr_sets[index] = 0

    def xattrs(self, index: int) -> Mapping[bytes, bytes]:
        """An inode's extended attributes so far."""
        number = self._xattr_sets[index]
        return parse_xattrs(list(self._set_numbers)[number - 1]) if number else NO_XATTRS

    def link(self, directory: int, name: bytes, index: int) -> None:
        """Enters a name into a directory; an older entry of that name is replaced."""
        self._children[directory][name] = index

    def is_directory(self, index: int) -> bool:
        """Whether an inode is a directory."""
        return index in self._children

    def child(self, directory: int, name: bytes) -> int | None:
        """The inode that a directory has under a name; None if there is none, or if it is no directory."""
        return self._children.get(directory, {}).get(name)

    def pack(self) -> list[Buffer]:
        """The sections of an ``InodeTable``; what no name leads to any more has no links and no entries."""
        names: list[bytes] = []
        entry_inodes = array("I")
        nlinks = array("I", bytes(4 * len(self)))
        directories = [ROOT]
        for directory in directories:  # it grows meanwhile
            children = self._children[directory]
            self._places[directory] = len(children) << PLACE_COUNT_SHIFT | len(names)
            nlinks[directory] += 2  # its name and itself
            ordered = sorted(children)
            names += ordered
            for child in map(children.__getitem__, ordered):
                entry_inodes.append(child)
                if child in self._children:
                    nlinks[directory] += 1
                    directories.append(child)
                else:
                    nlinks[child] += 1
        sets = list(self._set_numbers)
        words = (self._modes, self._uids, self._gids, nlinks, self._parents, self._xattr_sets)
        starts = (entry_inodes, _starts(names), _starts(sets))
        columns = (*words, *starts, self._sizes, self._places, self._mtimes_ns)
        blobs = (b"".join(names), self._targets, b"".join(sets))
        return [*(memoryview(column).cast("B") for column in columns), *blobs]


def _starts(pieces: list[bytes]) -> "array[int]":
    """Where each of the pieces begins once they are joined, and the end of the last."""
    return array("I", accumulate(map(len, pieces), initial=0))
