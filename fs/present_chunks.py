"""Which chunks of a layer are here: a bitmap, and the sums that would take long to count.

Pure. On disk it is a packed file that names the layout it belongs to: bits of another chunk table are not believed.
"""

import struct
from collections.abc import Iterable, Sequence

from fs.chunk_table import ChunkTable
from fs.inodes import BLOCK_BYTES
from fs.packed_file import dump_packed

PRESENT_MAGIC = b"esgzhere"
PRESENT_VERSION = 1
PRESENT_SECTIONS = 2
_SUMS = struct.Struct("=QQQQ")


class PresentChunks:
    """The chunks of one table that are here.

    Attributes:
        count: how many there are.
        content_bytes: their sizes.
        disk_bytes: the blocks that they take.
        landed_bytes: the compressed size of the members that are here as a whole.
    """

    def __init__(self, chunks: ChunkTable, sections: Sequence[bytes] = ()) -> None:
        """None are here, unless ``sections`` of a saved file say so."""
        self._chunks = chunks
        self._bits = bytearray(-(-len(chunks) // 8))
        sums = (0, 0, 0, 0)
        if sections and len(sections[1]) == len(self._bits):
            sums = _SUMS.unpack(sections[0])
            self._bits[:] = sections[1]
        self.count, self.content_bytes, self.disk_bytes, self.landed_bytes = sums

    def __repr__(self) -> str:
        return f"<PresentChunks {self.count}/{len(self._chunks)}>"

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] >> (index & 7) & 1)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Those of the chunks that are not here."""
        bits = self._bits
        return [i for i in indices if not bits[i >> 3] >> (i & 7) & 1]

    def add(self, indices: Iterable[int]) -> int:
        """Chunks have come; gives the blocks that they take. What was here already counts once."""
        before = self.disk_bytes
        members = set()
        for index in self.missing(indices):
            if index in self:
                continue  # it was named twice
            self._bits[index >> 3] |= 1 << (index & 7)
            self._count(index, 1)
            members.add(self._chunks.member_number(index))
        self.landed_bytes += self._whole(members)
        return self.disk_bytes - before

    def remove(self, indices: Iterable[int]) -> int:
        """Chunks are given up; gives the blocks that they took."""
        before = self.disk_bytes
        going = {index for index in indices if index in self}
        self.landed_bytes -= self._whole({self._chunks.member_number(index) for index in going})
        for index in going:
            self._bits[index >> 3] &= ~(1 << (index & 7))
            self._count(index, -1)
        return before - self.disk_bytes

    def _count(self, index: int, sign: int) -> None:
        self.count += sign
        self.content_bytes += sign * self._chunks.sizes[index]
        self.disk_bytes += sign * block_bytes(self._chunks, index)

    def _whole(self, members: Iterable[int]) -> int:
        """The compressed size of those members that are here as a whole."""
        found = (self._chunks.member(number) for number in members)
        return sum(m.end - m.start for m in found if not self.missing(m.chunks))

    def dump(self) -> bytes:
        """The saved form."""
        sums = _SUMS.pack(self.count, self.content_bytes, self.disk_bytes, self.landed_bytes)
        return dump_packed(
            [sums, self._bits],
            magic=PRESENT_MAGIC,
            version=PRESENT_VERSION,
            source=self._chunks.layout,
        )


def block_bytes(chunks: ChunkTable, index: int) -> int:
    """The disk that a chunk takes: the blocks that begin in it, so that a file's chunks add up to what the file takes."""
    start = chunks.data_offsets[index]
    return _round_up(start + chunks.sizes[index]) - _round_up(start)


def disk_ranges(chunks: ChunkTable, indices: Iterable[int]) -> list[tuple[int, int]]:
    """The parts ``(start, end)`` of the data space that hold these chunks and no other.

    Behind the end of a file they reach to the end of its last block, which nothing else is in.
    """
    ranges: list[tuple[int, int]] = []
    offsets = chunks.data_offsets
    for index in sorted(indices):
        start = offsets[index]
        end = _round_up(start + chunks.sizes[index])
        if index + 1 < len(chunks):
            end = min(end, offsets[index + 1])
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges


def _round_up(position: int) -> int:
    return -(-position // BLOCK_BYTES) * BLOCK_BYTES
