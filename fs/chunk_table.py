"""The chunk table: where each chunk lies in the data space and in the blob, in columns.

A chunk is named by its index. Chunks are sorted by data offset; a file's chunks are neighbours and
cover it without gaps, so a range of a file is a range of indices. Members are numbered in blob order.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from estargz.codec import Codec
from estargz.members import InnerSpan, compressed_bound

DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Member:
    """A compressed member: ``[start, end)`` in the blob, and the chunks that it holds.

    ``end`` is an upper bound: the content may end before it.
    """

    start: int
    end: int
    chunks: Sequence[int]


class ChunkTable:
    """All chunks of a layer; appended in the order of the data space, then ``freeze``-d."""

    def __init__(self) -> None:
        self.data_offsets = array("Q")
        self.sizes = array("Q")
        self._inner_offsets = array("Q")
        self._digests = bytearray()
        self._member_of = array(
            "Q"
        )  # where in the blob the chunk's member starts; its number, once frozen
        # Of each member: where it starts and ends, and where its chunks begin in the list of chunks in blob order.
        self._starts = array("Q")
        self._ends = array("Q")
        self._firsts = array("I")
        self._in_blob_order = array("I")

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"<ChunkTable {len(self)} chunks in {self.member_count} members>"

    def append(
        self, *, data_offset: int, size: int, blob_offset: int, inner_offset: int, digest: bytes
    ) -> None:
        """Adds a chunk behind all others; ``digest`` is its raw sha256."""
        self.data_offsets.append(data_offset)
        self.sizes.append(size)
        self._inner_offsets.append(inner_offset)
        self._member_of.append(blob_offset)
        self._digests += digest

    def freeze(self, *, payload_bytes: int, codec: Codec) -> None:
        """Finds the members.

        Args:
            payload_bytes: where the blob's last member ends.
            codec: how they are compressed.
        """
        blob_offsets = self._member_of
        self._in_blob_order = array("I", sorted(range(len(self)), key=blob_offsets.__getitem__))
        self._member_of = array("I", bytes(4 * len(self)))
        for position, index in enumerate(self._in_blob_order):
            start = blob_offsets[index]
            if not self._starts or start != self._starts[-1]:
                self._starts.append(start)
                self._firsts.append(position)
            self._member_of[index] = len(self._starts) - 1
        self._firsts.append(len(self))
        for number, start in enumerate(self._starts):
            content = (self.inner_span(index) for index in self._chunks_of(number))
            content_end = max(span.offset + span.size for span in content)
            is_last = number + 1 == self.member_count
            following = payload_bytes if is_last else self._starts[number + 1]
            self._ends.append(min(following, start + compressed_bound(content_end, codec)))

    @property
    def content_bytes(self) -> int:
        """The sum of all chunks' sizes."""
        return sum(self.sizes)

    @property
    def member_count(self) -> int:
        """How many members there are; their numbers are below."""
        return len(self._starts)

    def digest(self, index: int) -> bytes:
        """The raw sha256 that a chunk's content must have."""
        return bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def inner_span(self, index: int) -> InnerSpan:
        """Where a chunk lies in its member."""
        return InnerSpan(self._inner_offsets[index], self.sizes[index])

    def member_number(self, index: int) -> int:
        """The number of the member that holds a chunk."""
        return self._member_of[index]

    def member(self, number: int) -> Member:
        """The member of that number."""
        return Member(self._starts[number], self._ends[number], self._chunks_of(number))

    def _chunks_of(self, number: int) -> Sequence[int]:
        return self._in_blob_order[self._firsts[number] : self._firsts[number + 1]]

    def covering(self, start: int, end: int) -> range:
        """The chunks that hold ``[start, end)`` of the data space, which must lie in one file."""
        first = bisect_right(self.data_offsets, start) - 1
        last = bisect_right(self.data_offsets, end - 1) - 1
        return range(first, last + 1)
