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
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

from fs.erofs_directories import DirectoryEntry, directory_bytes, dump_directory
from fs.erofs_format import (
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
from fs.erofs_xattrs import SharedXattrs, XattrError, xattr_units
from fs.errors import UnrepresentableError
from fs.inodes import ROOT, Attributes, InodeTable

_SECOND_NS = 1_000_000_000
_FLUSH_BYTES = 1 << 20
_EPOCH_SAMPLES = 1000
_REGULAR, _DIRECTORY, _SYMLINK = stat.S_IFREG >> 12, stat.S_IFDIR >> 12, stat.S_IFLNK >> 12
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
        UnrepresentableError: EROFS has no room for something; it is named.
        OSError: the disk is full or broken.
    """
    if data_bytes > _MAX_DATA_BYTES:
        raise UnrepresentableError("/", f"{data_bytes} bytes of content")
    _Writer(inodes, output).write(data_bytes, uuid)


class _Writer:
    """The state of one image."""

    def __init__(self, inodes: InodeTable, output: BinaryIO) -> None:
        self._inodes = inodes
        self._output = output
        self._pending = bytearray(INODES_OFFSET)
        self._flushed = 0
        self._nodes = array("Q")
        self._types = bytearray()
        self._directories: dict[int, _Place] = {}
        self._epoch_ns = _commonest_mtime(inodes)

    def write(self, data_bytes: int, uuid: bytes) -> None:
        inodes = self._inodes
        try:
            shared = SharedXattrs(inodes.xattrs(index) for index in range(len(inodes)))
        except XattrError as error:
            raise UnrepresentableError("/", str(error)) from error
        for index in range(len(inodes)):
            self._add(index, shared)
            if len(self._pending) > _FLUSH_BYTES:
                self._align(SLOT_BYTES)
                self._flush()
        self._align(BLOCK_BYTES)
        xattr_block = self._position >> BLOCK_BITS
        self._pending += shared.area
        self._align(BLOCK_BYTES)
        self._flush()
        for index, place in self._directories.items():
            self._put_entries(index, place)
        superblock = Superblock(
            root_node=self._nodes[ROOT],
            inodes=len(inodes),
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

    def _add(self, index: int, shared: SharedXattrs) -> None:
        """Appends an inode, with what belongs behind it."""
        attributes = self._inodes.attributes(index)
        try:
            xattrs = shared.dump(self._inodes.xattrs(index))
        except XattrError as error:
            raise UnrepresentableError(self._inodes.path(index), str(error)) from error
        kind = attributes.mode >> 12
        self._types.append(FILE_TYPES[kind])
        if kind == _REGULAR and attributes.size:
            self._add_file(index, attributes, xattrs)
        elif kind == _DIRECTORY:
            self._add_directory(index, attributes, xattrs)
        elif kind == _SYMLINK:
            self._add_symlink(index, attributes, xattrs)
        else:
            major, minor = os.major(attributes.rdev), os.minor(attributes.rdev)
            device = dump_device_number(major, minor)
            self._add_inode(attributes, xattrs, attributes.size, FLAT_PLAIN, device)

    def _add_file(self, index: int, attributes: Attributes, xattrs: bytes) -> None:
        size = attributes.size
        self._add_inode(attributes, xattrs, size, CHUNK_BASED, CHUNK_INDEXES | chunk_bits(size))
        if xattrs:
            self._align(CHUNK_INDEX.size)
        block = self._inodes.extent(index).offset >> BLOCK_BITS
        self._pending += CHUNK_INDEX.pack(0, CONTENT_DEVICE, block)

    def _add_symlink(self, index: int, attributes: Attributes, xattrs: bytes) -> None:
        target = self._inodes.target(index)
        place = self._add_flat(attributes, xattrs, len(target))
        for offset, piece in place.pieces(target):
            start = offset - self._flushed  # nothing is flushed before the inode is whole
            self._pending[start : start + len(piece)] = piece

    def _add_directory(self, index: int, attributes: Attributes, xattrs: bytes) -> None:
        size = directory_bytes([*_DOTS, *self._inodes.children(index)])
        self._directories[index] = self._add_flat(attributes, xattrs, size)

    def _add_flat(self, attributes: Attributes, xattrs: bytes, size: int) -> "_Place":
        """Appends an inode and room for its content: the part beyond whole blocks beside it, if that fits."""
        inode_bytes = self._inode_struct(attributes, size)[1].size + len(xattrs)
        rest = size % BLOCK_BYTES
        if inode_bytes + rest > BLOCK_BYTES:
            rest = 0
        self._align(SLOT_BYTES)
        if rest and self._position % BLOCK_BYTES + inode_bytes + rest > BLOCK_BYTES:
            self._align(BLOCK_BYTES)
        rest_offset = self._position + inode_bytes
        blocks_offset = -(-(rest_offset + rest) // BLOCK_BYTES) * BLOCK_BYTES
        layout = FLAT_INLINE if rest else FLAT_PLAIN
        self._add_inode(attributes, xattrs, size, layout, blocks_offset >> BLOCK_BITS)
        self._pending += bytes(rest)
        if size > rest:
            self._align(BLOCK_BYTES)
            self._pending += bytes(size - rest)
            self._align(BLOCK_BYTES)
        return _Place(blocks_offset, rest_offset, rest)

    def _inode_struct(self, attributes: Attributes, size: int) -> tuple[int, Struct]:
        """The form of inode that an inode fits into."""
        fits = (
            attributes.mtime_ns == self._epoch_ns
            and attributes.uid <= MAX_COMPACT_ID
            and attributes.gid <= MAX_COMPACT_ID
            and attributes.nlink <= MAX_COMPACT_NLINK
            and size <= MAX_COMPACT_SIZE
        )
        return (COMPACT, COMPACT_INODE) if fits else (EXTENDED, EXTENDED_INODE)

    def _add_inode(
        self, attributes: Attributes, xattrs: bytes, size: int, layout: int, where: int
    ) -> None:
        """Appends an inode and its extended attributes; ``where`` is its ``i_u``."""
        pending = self._pending
        pending += bytes(-len(pending) % SLOT_BYTES)  # what was flushed is a multiple of it
        number = len(self._nodes) + 1  # what 32-bit programs see as inode number
        self._nodes.append((self._flushed + len(pending)) // SLOT_BYTES)
        form, struct = self._inode_struct(attributes, size)
        units = xattr_units(xattrs) if xattrs else 0
        if form == COMPACT:
            pending += struct.pack(
                *(layout, units, attributes.mode, attributes.nlink, size, 0, where),
                *(number, attributes.uid, attributes.gid, 0),
            )
        else:
            seconds, nanoseconds = divmod(attributes.mtime_ns, _SECOND_NS)
            pending += struct.pack(
                *(EXTENDED | layout, units, attributes.mode, 0, size, where),
                *(number, attributes.uid, attributes.gid),
                *(seconds, nanoseconds, attributes.nlink),
            )
        pending += xattrs

    def _put_entries(self, index: int, place: "_Place") -> None:
        """Puts a directory's entries where room was left for them."""
        nodes, types = self._nodes, self._types
        children = {
            **self._inodes.children(index),
            b".": index,
            b"..": self._inodes.parent(index),
        }
        entries = [DirectoryEntry(name, nodes[i], types[i]) for name, i in children.items()]
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
        """The parts of the content, and where each goes."""
        split = len(content) - self.rest_bytes
        yield self.blocks_offset, content[:split]
        yield self.rest_offset, content[split:]


def _commonest_mtime(inodes: InodeTable) -> int:
    """A modification time that many inodes have, for these can be compact."""
    step = -(-len(inodes) // _EPOCH_SAMPLES)
    times = Counter(inodes.attributes(i).mtime_ns for i in range(0, len(inodes), step))
    return times.most_common(1)[0][0]
