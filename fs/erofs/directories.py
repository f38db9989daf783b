"""Directories of an EROFS image: entries in the order of their names, packed into blocks.

A block begins with its entries, their names follow; the first name's offset tells how many there are.
The last block is cut off behind its last name.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fs.erofs.on_disk_format import BLOCK_BYTES, DIRENT


class DirectoryEntry(msgspec.Struct, frozen=True, gc=False):
    """A name, the node it leads to and that node's file type (``FILE_TYPES``). One is made of every name of a layer."""

    name: bytes
    node: int
    file_type: int


def directory_bytes(names: Iterable[bytes]) -> int:
    """How large the directory is that has these names, the dots among them."""
    used = [DIRENT.size * len(block) + sum(map(len, block)) for block in _split(sorted(names))]
    return (len(used) - 1) * BLOCK_BYTES + used[-1]


def dump_directory(entries: Sequence[DirectoryEntry]) -> bytes:
    """The directory that has these entries, the dots among them."""
    by_name = {entry.name: entry for entry in entries}
    blocks = [_dump_block([by_name[name] for name in names]) for names in _split(sorted(by_name))]
    padded = [block.ljust(BLOCK_BYTES, b"\0") for block in blocks[:-1]]
    return b"".join([*padded, blocks[-1]])


def _split(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The names block by block: as many as fit into each."""
    start = used = 0
    for position, name in enumerate(names):
        needed = DIRENT.size + len(name)
        if used + needed > BLOCK_BYTES:
            yield names[start:position]
            start, used = position, 0
        used += needed
    yield names[start:]


def _dump_block(entries: Sequence[DirectoryEntry]) -> bytes:
    offset = DIRENT.size * len(entries)
    packed = []
    for entry in entries:
        packed.append(DIRENT.pack(entry.node, offset, entry.file_type, 0))
        offset += len(entry.name)
    packed += (entry.name for entry in entries)
    return b"".join(packed)
