"""A layer's content on disk: a sparse file in the shape of the data space, and a bitmap.

``data`` holds content at its data offset; a chunk counts as present once its bit is set, and only
``VerifiedChunk``s are written. On disk the bit follows the bytes: ``checkpoint`` first makes ``data``
durable, then replaces ``present``, so a crash can lose progress but never truth.

Reads and bits belong to the trio thread; ``write`` and the slow half of a checkpoint run in workers.
"""

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from estargz.verify import VerifiedChunk
from fs.chunk_table import ChunkTable

DATA_NAME = "data"
PRESENT_NAME = "present"


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """How much of a layer is here, in bytes of content and in chunks."""

    content_bytes: int
    present_bytes: int
    chunks: int
    present_chunks: int


class ChunkStore:
    """The content of one layer; it owns the open ``data`` file until it is closed or collected."""

    def __init__(self, directory: Path, chunks: ChunkTable, *, data_bytes: int) -> None:
        """Opens the store in a directory, creating what is missing.

        Raises:
            OSError: the directory cannot be used.
        """
        self._directory = directory
        self._chunks = chunks
        self._bits = self._load_bits()
        present = [i for i in range(len(chunks)) if self._has(i)] if any(self._bits) else []
        self._present_chunks = len(present)
        self._present_bytes = sum(chunks.sizes[i] for i in present)
        self._content_bytes = chunks.content_bytes
        self._unsaved = False
        self._fd = os.open(directory / DATA_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Whoever still reads holds the store, so collecting it is the right time to close.
        self._close = weakref.finalize(self, os.close, self._fd)
        os.ftruncate(self._fd, data_bytes)

    def __repr__(self) -> str:
        return f"<ChunkStore {self._directory.name} {self._present_chunks}/{len(self._chunks)}>"

    def _load_bits(self) -> bytearray:
        length = -(-len(self._chunks) // 8)
        try:
            bits = (self._directory / PRESENT_NAME).read_bytes()
        except FileNotFoundError:
            return bytearray(length)
        if len(bits) != length or not (self._directory / DATA_NAME).exists():
            return bytearray(length)  # not of this chunk table: nothing in it can be believed
        return bytearray(bits)

    def _has(self, index: int) -> bool:
        return bool(self._bits[index >> 3] >> (index & 7) & 1)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Those of the chunks that are not present."""
        bits = self._bits
        return [i for i in indices if not bits[i >> 3] >> (i & 7) & 1]

    @property
    def is_empty(self) -> bool:
        """Whether no chunk is present."""
        return self._present_chunks == 0

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is present."""
        return self._present_chunks == len(self._chunks)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data space; the caller knows that the chunks there are present."""
        return os.pread(self._fd, size, offset)

    def write(self, index: int, chunk: VerifiedChunk) -> None:
        """Puts a chunk in its place, for ``mark_present`` to follow.

        Raises:
            OSError: the disk is full or broken.
        """
        offset = self._chunks.data_offsets[index]
        view = chunk.data
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def mark_present(self, indices: Iterable[int]) -> None:
        """Makes written chunks count."""
        for index in indices:
            if not self._has(index):
                self._bits[index >> 3] |= 1 << (index & 7)
                self._present_chunks += 1
                self._present_bytes += self._chunks.sizes[index]
                self._unsaved = True

    def take_unsaved(self) -> bytes | None:
        """The bits that ``save`` should make durable; None when it did so already."""
        if not self._unsaved:
            return None
        self._unsaved = False
        return bytes(self._bits)

    def save(self, bits: bytes) -> None:
        """Makes the content durable, then the bits that tell of it.

        Raises:
            OSError: the disk is full or broken; what was durable before still is.
        """
        os.fdatasync(self._fd)
        temporary = self._directory / f"{PRESENT_NAME}.new"
        with temporary.open("wb") as file:
            file.write(bits)
            file.flush()
            os.fdatasync(file.fileno())
        temporary.replace(self._directory / PRESENT_NAME)

    def close(self) -> None:
        """Closes ``data``; nothing may be reading."""
        self._close()

    def statistics(self) -> StoreStatistics:
        """What is here now."""
        return StoreStatistics(
            content_bytes=self._content_bytes,
            present_bytes=self._present_bytes,
            chunks=len(self._chunks),
            present_chunks=self._present_chunks,
        )
