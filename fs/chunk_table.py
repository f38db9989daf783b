"""The chunk table: where each chunk lies in the data space and in the blob, in columns.

A chunk is named by its index. Chunks are sorted by data offset; a file's chunks are neighbours and
cover it without gaps, so a range of a file is a range of indices.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from estargz.members import InnerSpan, compressed_bound

DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Member:
    """A compressed member: ``[start, end)`` in the blob, and the chunks that it holds.

    ``end`` is an upper bound: the content may end before it.
    """

    start: int
    end: int
    chunks: tuple[int, ...]


class ChunkTable:
    """All chunks of a layer; appended in the order of the data space, then ``freeze``-d."""

    def __init__(self) -> None:
        self.data_offsets = array("Q")
        self.sizes = array("Q")
        self._inner_offsets = array("Q")
        self._member_of = array("Q")
        self._digests = bytearray()
        self._members: list[Member] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"<ChunkTable {len(self)} chunks in {len(self._members)} members>"

    def append(
        self, *, data_offset: int, size: int, blob_offset: int, inner_offset: int, digest: bytes
    ) -> None:
        """Adds a chunk behind all others; ``digest`` is its raw sha256."""
        self.data_offsets.append(data_offset)
        self.sizes.append(size)
        self._inner_offsets.append(inner_offset)
        self._member_of.append(blob_offset)  # the member's index, once frozen
        self._digests += digest

    def freeze(self, *, payload_bytes: int) -> None:
        """Finds the members; ``payload_bytes`` is where the blob's last member ends."""
        by_start: dict[int, list[int]] = {}
        for index, start in enumerate(self._member_of):
            by_start.setdefault(start, []).append(index)
        starts = sorted(by_start)
        for number, start in enumerate(starts):
            chunks = by_start[start]
            content_end = max(self._inner_offsets[i] + self.sizes[i] for i in chunks)
            following = starts[number + 1] if number + 1 < len(starts) else payload_bytes
            end = min(following, start + compressed_bound(content_end))
            self._members.append(Member(start, end, tuple(chunks)))
            for index in chunks:
                self._member_of[index] = number

    @property
    def content_bytes(self) -> int:
        """The sum of all chunks' sizes."""
        return sum(self.sizes)

    def digest(self, index: int) -> bytes:
        """The raw sha256 that a chunk's content must have."""
        return bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def inner_span(self, index: int) -> InnerSpan:
        """Where a chunk lies in its member."""
        return InnerSpan(self._inner_offsets[index], self.sizes[index])

    def member_number(self, index: int) -> int:
        """The number of the member that holds a chunk; members are numbered in blob order."""
        return self._member_of[index]

    def member(self, number: int) -> Member:
        """The member of that number."""
        return self._members[number]

    def members(self) -> Sequence[Member]:
        """All members, in blob order."""
        return self._members

    def covering(self, start: int, end: int) -> range:
        """The chunks that hold ``[start, end)`` of the data space, which must lie in one file."""
        first = bisect_right(self.data_offsets, start) - 1
        last = bisect_right(self.data_offsets, end - 1) - 1
        return range(first, last + 1)
