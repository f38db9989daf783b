"""From an inode table to an EROFS image of its metadata; all content lies on one extra device.

The image is written front to back, inode by inode, so nothing is kept of a file but the number of its
node. Directories name nodes that come after them: their entries are put in last. The extra device is
the layer's data space; a regular file is one chunk in it, however large. The same table gives the
same bytes.

Layout: superblock and device table, inodes in the table's order (each with its extended attributes,
and its link target or the last part of its directory if it fits), behind an inode the blocks it could
not keep beside itself, and at the end the shared extended attributes.
"""

import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from fs.erofs.directories import DirectoryEntry, directory_bytes, dump_directory
from fs.erofs.on_disk_format import (
    BLOCK_BITS,
    BLOCK_BYTES,
    CHUNK_BASED,
    CHUNK_INDEX,
    CHUNK_INDEXES,
    COMPACT,
    COMPACT_INODE,
    CONTENT_DEVICE,
    EXTENDED,
    EXTENDED_INODE,
    FILE_TYPES,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODES_OFFSET,
    MAX_BLOCK,
    MAX_COMPACT_ID,
    MAX_COMPACT_NLINK,
    MAX_COMPACT_SIZE,
    SLOT_BYTES,
    Superblock,
    chunk_bits,
    dump_device_number,
    dump_head,
)
from fs.erofs.xattrs import SharedXattrs, xattr_units
from fs.errors import UnrepresentableError
from fs.inodes import ROOT, InodeTable

_SECOND_NS = 1_000_000_000
_FLUSH_BYTES = 1 << 20
_REGULAR, _DIRECTORY, _SYMLINK = stat.S_IFREG >> 12, stat.S_IFDIR >> 12, stat.S_IFLNK >> 12
_PADDING = [bytes(length) for length in range(SLOT_BYTES)]
_DOTS = (b".", b"..")
_MAX_DATA_BYTES = MAX_BLOCK << BLOCK_BITS


def write_erofs(inodes: InodeTable, output: BinaryIO, *, data_bytes: int, uuid: bytes) -> None:
    """Writes the image of a tree. It costs CPU in proportion to the tree's size: call it in a thread.

    Args:
        inodes: the tree.
        output: an empty file that can be read, written and sought in.
        data_bytes: the size of the data space.
        uuid: 16 bytes that name the image.

    Raises:
        UnrepresentableError: EROFS has no room for something.
        OSError: the disk is full or broken.
    """
    if data_bytes > _MAX_DATA_BYTES:
        raise UnrepresentableError(f"{data_bytes} bytes of content")
    _Writer(inodes, output).write(data_bytes, uuid)


class _Writer:
    """The state of one image."""

    def __init__(self, inodes: InodeTable, output: BinaryIO) -> None:
        self._inodes = inodes
        self._output = output
        self._pending = bytearray(INODES_OFFSET)
        self._flushed = 0
        self._nodes = array("Q", bytes(8 * len(inodes)))
        self._directories: dict[int, _Place] = {}
        # The modification time that most inodes have, for these can be compact.
        self._epoch_ns = Counter(inodes.mtimes_ns).most_common(1)[0][0]
        self._shared = SharedXattrs(_xattr_sets(inodes))
        self._xattrs = {0: b""}

    def write(self, data_bytes: int, uuid: bytes) -> None:
        for index, (mode, nlink) in enumerate(
            zip(self._inodes.modes, self._inodes.nlinks, strict=True)
        ):
            if nlink:
                self._add(index, mode >> 12)
            if len(self._pending) > _FLUSH_BYTES:
                self._align(SLOT_BYTES)
                self._flush()
        self._align(BLOCK_BYTES)
        xattr_block = self._position >> BLOCK_BITS
        self._pending += self._shared.area
        self._align(BLOCK_BYTES)
        self._flush()
        for index, place in self._directories.items():
            self._put_entries(index, place)
        superblock = Superblock(
            root_node=self._nodes[ROOT],
            inodes=len(self._inodes),
            epoch_seconds=self._epoch_ns // _SECOND_NS,
            epoch_nanoseconds=self._epoch_ns % _SECOND_NS,
            blocks=self._position >> BLOCK_BITS,
            xattr_block=xattr_block,
            uuid=uuid,
            device_blocks=-(-data_bytes // BLOCK_BYTES),
        )
        self._output.seek(0)
        first_block = self._output.read(BLOCK_BYTES)
        self._output.seek(0)
        self._output.write(dump_head(superblock, first_block))

    @property
    def _position(self) -> int:
        return self._flushed + len(self._pending)

    def _flush(self) -> None:
        self._output.write(self._pending)
        self._flushed += len(self._pending)
        self._pending.clear()

    def _align(self, unit: int) -> None:
        self._pending += bytes(-self._position % unit)

    def _add(self, index: int, kind: int) -> None:
        """Appends an inode, with what belongs behind it."""
        size = self._inodes.sizes[index]
        if kind == _REGULAR and size:
            self._add_inode(index, size, CHUNK_BASED, CHUNK_INDEXES | chunk_bits(size))
            self._pending += _PADDING[-len(self._pending) % CHUNK_INDEX.size]
            block = self._inodes.places[index] >> BLOCK_BITS
            self._pending += CHUNK_INDEX.pack(0, CONTENT_DEVICE, block)
        elif kind == _DIRECTORY:
            names = (name for name, _ in self._inodes.entries(index))
            self._directories[index] = self._add_flat(index, directory_bytes([*_DOTS, *names]))
        elif kind == _SYMLINK:
            target = self._inodes.target(index)
            for offset, piece in self._add_flat(index, size).pieces(target):
                start = offset - self._flushed  # nothing is flushed before the inode is whole
                self._pending[start : start + len(piece)] = piece
        else:
            device = self._inodes.attributes(index).rdev
            number = dump_device_number(os.major(device), os.minor(device))
            self._add_inode(index, size, FLAT_PLAIN, number)

    def _add_flat(self, index: int, size: int) -> "_Place":
        """Appends an inode and room for its content: the part beyond whole blocks beside it, if that fits."""
        core = COMPACT_INODE if self._is_compact(index, size) else EXTENDED_INODE
        inode_bytes = core.size + len(self._xattrs_of(index))
        rest = size % BLOCK_BYTES
        if inode_bytes + rest > BLOCK_BYTES:
            rest = 0
        self._align(SLOT_BYTES)
        if rest and self._position % BLOCK_BYTES + inode_bytes + rest > BLOCK_BYTES:
            self._align(BLOCK_BYTES)
        rest_offset = self._position + inode_bytes
        blocks_offset = -(-(rest_offset + rest) // BLOCK_BYTES) * BLOCK_BYTES
        layout = FLAT_INLINE if rest else FLAT_PLAIN
        self._add_inode(index, size, layout, blocks_offset >> BLOCK_BITS)
        self._pending += bytes(rest)
        if size > rest:
            self._align(BLOCK_BYTES)
            self._pending += bytes(size - rest)
            self._align(BLOCK_BYTES)
        return _Place(blocks_offset, rest_offset, rest)

    def _is_compact(self, index: int, size: int) -> bool:
        inodes = self._inodes
        return (
            inodes.mtimes_ns[index] == self._epoch_ns
            and inodes.uids[index] <= MAX_COMPACT_ID
            and inodes.gids[index] <= MAX_COMPACT_ID
            and inodes.nlinks[index] <= MAX_COMPACT_NLINK
            and size <= MAX_COMPACT_SIZE
        )

    def _add_inode(self, index: int, size: int, layout: int, where: int) -> None:
        """Appends an inode and its extended attributes; ``where`` is its ``i_u``."""
        inodes, pending = self._inodes, self._pending
        pending += _PADDING[-len(pending) % SLOT_BYTES]  # what was flushed is a multiple of it
        self._nodes[index] = (self._flushed + len(pending)) // SLOT_BYTES
        xattrs, units = b"", 0
        if inodes.xattr_sets[index]:
            xattrs = self._xattrs_of(index)
            units = xattr_units(xattrs)
        mode, nlink = inodes.modes[index], inodes.nlinks[index]
        owner = (inodes.uids[index], inodes.gids[index])
        number = index + 1  # what 32-bit programs see as inode number
        if self._is_compact(index, size):
            pending += COMPACT_INODE.pack(
                COMPACT | layout, units, mode, nlink, size, 0, where, number, *owner, 0
            )
        else:
            times = divmod(inodes.mtimes_ns[index], _SECOND_NS)
            pending += EXTENDED_INODE.pack(
                EXTENDED | layout, units, mode, 0, size, where, number, *owner, *times, nlink
            )
        pending += xattrs

    def _xattrs_of(self, index: int) -> bytes:
        """The extended attributes behind an inode; many inodes have the same set."""
        number = self._inodes.xattr_sets[index]
        xattrs = self._xattrs.get(number)
        if xattrs is None:
            xattrs = self._xattrs[number] = self._shared.dump(self._inodes.xattrs(index))
        return xattrs

    def _put_entries(self, index: int, place: "_Place") -> None:
        """Puts a directory's entries where room was left for them."""
        inodes, nodes = self._inodes, self._nodes
        children = [*inodes.entries(index), (b".", index), (b"..", inodes.parent(index))]
        entries = [
            DirectoryEntry(name, nodes[child], FILE_TYPES[inodes.modes[child] >> 12])
            for name, child in children
        ]
        for offset, piece in place.pieces(dump_directory(entries)):
            self._output.seek(offset)
            self._output.write(piece)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the content of a directory or link goes: whole blocks, and the rest beside the inode."""

    blocks_offset: int
    rest_offset: int
    rest_bytes: int

    def pieces(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """The parts of the content that there are, and where each goes."""
        split = len(content) - self.rest_bytes
        if split:
            yield self.blocks_offset, content[:split]
        if self.rest_bytes:
            yield self.rest_offset, content[split:]


def _xattr_sets(inodes: InodeTable) -> Iterator[tuple[Mapping[bytes, bytes], int]]:
    """Every set of extended attributes, and how many inodes have it."""
    counts = Counter(inodes.xattr_sets)
    examples = {number: index for index, number in enumerate(inodes.xattr_sets) if number}
    for number, index in sorted(examples.items()):
        yield inodes.xattrs(index), counts[number]
