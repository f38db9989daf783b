"""The data space: each regular file's content laid out once, at a multiple of 4 KiB, and its chunks given their rows.

Files with the same content, chunk for chunk, share one place: it is fetched once and kept once. Only the chunks' own
digests and sizes count for that; a digest of the whole file is not verified by anybody who reads a part of it.
"""

import re
from collections.abc import Sequence

from estargz.errors import TocError
from estargz.toc import TocEntry, TocLimits
from fs.chunk_table import ChunkTableBuilder
from fs.inodes import BLOCK_BYTES
from registry.digest import Digest
from registry.errors import InvalidDigestError

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_PREFIX_BYTES = 8


class ContentLayout:
    """The data space of one layer while it is compiled.

    Attributes:
        chunks: the rows so far.
        data_bytes: the size so far.
    """

    def __init__(self, payload_bytes: int, limits: TocLimits) -> None:
        self.chunks = ChunkTableBuilder()
        self.data_bytes = 0
        self._payload_bytes = payload_bytes
        self._limits = limits
        # By the first bytes of a file's first digest, where its rows begin: a hint, the rows themselves decide.
        self._first_rows: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"<ContentLayout {self.data_bytes} bytes>"

    def place(self, entry: TocEntry, pieces: Sequence[TocEntry]) -> int:
        """The data offset of a file's content: a new one, or that of a file with the same content.

        Args:
            entry: the file.
            pieces: the entries of its chunks, of which it is the first.

        Raises:
            TocError: its chunks do not cover it, cannot be verified, or there is too much.
        """
        sizes = self._checked_sizes(entry, pieces)
        digests = b"".join([_chunk_digest(piece) for piece in pieces])
        first = self._first_rows.setdefault(digests[:_PREFIX_BYTES], len(self.chunks))
        if self._is_at(first, sizes, digests, entry.size):
            return self.chunks.data_offsets[first]
        return self._append(entry, pieces, sizes, digests)

    def _append(
        self, entry: TocEntry, pieces: Sequence[TocEntry], sizes: Sequence[int], digests: bytes
    ) -> int:
        start = position = self.data_bytes
        width = len(digests) // len(pieces)
        for number, (piece, size) in enumerate(zip(pieces, sizes, strict=True)):
            self.chunks.append(
                data_offset=position,
                size=size,
                blob_offset=piece.offset,
                inner_offset=piece.inner_offset,
                digest=digests[number * width : (number + 1) * width],
            )
            position += size
        self.data_bytes = start + _whole_blocks(entry.size)
        if self.data_bytes > self._limits.max_content_bytes:
            raise TocError(entry.name, f"the layer holds over {self._limits.max_content_bytes}")
        return start

    def _is_at(self, first: int, sizes: Sequence[int], digests: bytes, file_bytes: int) -> bool:
        """Whether the rows from ``first`` on are those of a file with just these chunks."""
        chunks, behind = self.chunks, first + len(sizes)
        if behind > len(chunks) or chunks.digests(first, len(sizes)) != digests:
            return False
        is_last = behind == len(chunks)
        end = self.data_bytes if is_last else chunks.data_offsets[behind]
        # What is behind its last block is another file: then this is the whole of one, and not the start of a longer one.
        is_whole = end - chunks.data_offsets[first] == _whole_blocks(file_bytes)
        return is_whole and all(chunks.sizes[first + n] == size for n, size in enumerate(sizes))

    def _checked_sizes(self, entry: TocEntry, pieces: Sequence[TocEntry]) -> list[int]:
        sizes = []
        expected = 0
        for piece in pieces:
            size = piece.chunk_size or entry.size - piece.chunk_offset
            self._check_piece(entry, piece, size=size, expected=expected)
            sizes.append(size)
            expected += size
        if expected != entry.size:
            raise TocError(entry.name, f"its chunks hold {expected} bytes of {entry.size}")
        return sizes

    def _check_piece(self, entry: TocEntry, piece: TocEntry, *, size: int, expected: int) -> None:
        if piece.chunk_offset != expected:
            raise TocError(entry.name, f"a chunk at {piece.chunk_offset}, expected {expected}")
        if not 0 < size <= self._limits.max_chunk_bytes or expected + size > entry.size:
            raise TocError(entry.name, f"a chunk of {size} bytes in a file of {entry.size}")
        if not 0 <= piece.offset < self._payload_bytes:
            reason = f"offset {piece.offset}, content ends at {self._payload_bytes}"
            raise TocError(entry.name, reason)
        if not 0 <= piece.inner_offset <= self._limits.max_chunk_bytes - size:
            raise TocError(entry.name, f"inner offset {piece.inner_offset}")


def _whole_blocks(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _chunk_digest(piece: TocEntry) -> bytes:
    text = piece.chunk_digest or piece.digest
    usual = _SHA256.fullmatch(text)
    if usual is not None:
        return bytes.fromhex(usual[1])
    if not text:
        raise TocError(piece.name, "no digest is recorded; such a layer cannot be verified")
    try:
        digest = Digest.parse(text)
    except InvalidDigestError as error:
        raise TocError(piece.name, str(error)) from error
    raise TocError(piece.name, f"chunk digests must be sha256, not {digest.algorithm}")
