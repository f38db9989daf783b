"""The chunk table: where each chunk lies in the data space and in the blob, in columns.

A chunk is named by its index. Chunks are sorted by data offset; a file's chunks are neighbours and
cover it without gaps, so a range of a file is a range of indices. Members are numbered in blob order.

The columns are views of packed sections, mapped from the layer's ``chunks`` file: nothing is kept of a
chunk but its 56 bytes there.
"""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from estargz.codec import Codec
from estargz.members import InnerSpan, compressed_bound
from fs.packed_file import Buffer

DIGEST_BYTES = 32
CHUNK_SECTIONS = 10


@dataclass(frozen=True, slots=True)
class Member:
    """A compressed member: ``[start, end)`` in the blob, and the chunks that it holds.

    ``end`` is an upper bound: the content may end before it.
    """

    start: int
    end: int
    chunks: Sequence[int]


class ChunkTable:
    """All chunks of a layer.

    Attributes:
        sections: all of it, as it is packed.
        data_offsets: where each chunk begins in the data space.
        sizes: of each chunk, in bytes.
        inner_offsets: where each chunk begins in its decompressed member.
        digests: the raw sha256 of all chunks, one behind the other.
        content_bytes: the sum of all sizes.
        layout: 32 bytes that only a table with the same chunks at the same places has.
    """

    def __init__(self, sections: Sequence[Buffer]) -> None:
        views = self.sections = [memoryview(section).cast("B") for section in sections]
        facts, offsets, sizes, inner_offsets, member_of, digests, starts, ends, blob_order = views[
            :9
        ]
        self.layout = bytes(views[9])
        self.content_bytes, chunks = facts.cast("Q")
        self.data_offsets: Sequence[int] = offsets.cast("Q")
        self.sizes: Sequence[int] = sizes.cast("I")
        self.inner_offsets: Sequence[int] = inner_offsets.cast("I")
        self.digests = digests
        self._member_of = member_of.cast("I")
        # Of each member: where it starts and ends, and where its chunks begin in the list of chunks in blob order.
        self._starts = starts.cast("Q")
        self._ends = ends.cast("Q")
        order = blob_order.cast("I")
        self._in_blob_order, self._firsts = order[:chunks], order[chunks:]

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"<ChunkTable {len(self)} chunks in {self.member_count} members>"

    @property
    def member_count(self) -> int:
        """How many members there are; their numbers are below."""
        return len(self._starts)

    def digest(self, index: int) -> bytes:
        """The raw sha256 that a chunk's content must have."""
        return bytes(self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def inner_span(self, index: int) -> InnerSpan:
        """Where a chunk lies in its member."""
        return InnerSpan(self.inner_offsets[index], self.sizes[index])

    def member_number(self, index: int) -> int:
        """The number of the member that holds a chunk."""
        return self._member_of[index]

    def member(self, number: int) -> Member:
        """The member of that number."""
        chunks = self._in_blob_order[self._firsts[number] : self._firsts[number + 1]]
        return Member(self._starts[number], self._ends[number], chunks)

    def covering(self, start: int, end: int) -> range:
        """The chunks that hold ``[start, end)`` of the data space, which must lie in one file."""
        first = bisect_right(self.data_offsets, start) - 1
        last = bisect_right(self.data_offsets, end - 1) - 1
        return range(first, last + 1)


class ChunkTableBuilder:
    """Collects chunks in the order of the data space, then packs them.

    Attributes:
        data_offsets: of the chunks so far.
        sizes: of the chunks so far.
    """

    def __init__(self) -> None:
        self.data_offsets = array("Q")
        self.sizes = array("I")
        self._inner_offsets = array("I")
        self._digests = bytearray()
        self._blob_offsets = array("Q")

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"<ChunkTableBuilder {len(self)} chunks>"

    def append(
        self, *, data_offset: int, size: int, blob_offset: int, inner_offset: int, digest: bytes
    ) -> None:
        """Adds a chunk behind all others; ``digest`` is its raw sha256."""
        self.data_offsets.append(data_offset)
        self.sizes.append(size)
        self._inner_offsets.append(inner_offset)
        self._blob_offsets.append(blob_offset)
        self._digests += digest

    def digests(self, first: int, count: int) -> bytes:
        """The raw sha256 of some chunks in a row."""
        return bytes(self._digests[first * DIGEST_BYTES : (first + count) * DIGEST_BYTES])

    def pack(self, *, payload_bytes: int, codec: Codec) -> list[Buffer]:
        """Finds the members, and gives the sections of a ``ChunkTable``.

        Args:
            payload_bytes: where the blob's last member ends.
            codec: how the members are compressed.
        """
        blob_offsets = self._blob_offsets
        in_blob_order = array("I", sorted(range(len(self)), key=blob_offsets.__getitem__))
        starts, ends, firsts = array("Q"), array("Q"), array("I")
        content_ends = array("Q")  # of each member: how much of it must be decompressed
        member_of = array("I", bytes(4 * len(self)))
        last_start = -1
        for position, index in enumerate(in_blob_order):
            start = blob_offsets[index]
            if start != last_start:
                starts.append(start)
                firsts.append(position)
                content_ends.append(0)
                last_start = start
            member_of[index] = len(starts) - 1
            content_end = self._inner_offsets[index] + self.sizes[index]
            content_ends[-1] = max(content_ends[-1], content_end)
        firsts.append(len(self))
        following = chain(starts[1:], (payload_bytes,))
        for start, next_start, content_end in zip(starts, following, content_ends):  # noqa: B905
            ends.append(min(next_start, start + compressed_bound(content_end, codec)))
        facts = array("Q", (sum(self.sizes), len(self)))
        columns = (facts, self.data_offsets, self.sizes, self._inner_offsets, member_of)
        members = (self._digests, starts, ends, in_blob_order + firsts)
        layout = hashlib.sha256()
        for column in (self.data_offsets, self.sizes, self._digests):
            layout.update(column)
        views = [memoryview(column).cast("B") for column in (*columns, *members)]
        return [*views, layout.digest()]
