"""A layer's content on disk: a sparse file in the shape of the data space, and which chunks of it are here.

``data`` holds content at its data offset; a chunk counts as present once its bit is set, and only
``VerifiedChunk``s are written. On disk the bit follows the bytes: ``save`` first makes ``data``
durable, then replaces ``present``, so a crash can lose progress but never truth.

Eviction goes the other way: bits are cleared in memory, then durably, then holes are punched. While it
lasts, what is *leaving* is not taken back, so no hole is ever punched under a bit.

Bits belong to the trio thread; ``write``, ``save``, ``punch`` and ``read_present`` run in any.
"""

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from estargz.errors import DigestMismatchError
from estargz.verify import VerifiedChunk
from fs.cache_usage import CacheUsage
from fs.chunk_table import ChunkTable
from fs.durable_files import copy_range, punch_hole, write_at
from fs.kernel_pins import is_pinned_for_kernel
from fs.present_chunks import block_bytes, disk_ranges
from fs.present_file import DATA_NAME, PresentFile, Progress

_UNLIMITED = 1 << 62
# What is evicted in one step: the trio thread has other things to do.
_MAX_LEAVING = 5000


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """How much of a layer is here: content in bytes, disk in bytes, and chunks."""

    content_bytes: int
    present_bytes: int
    disk_bytes: int
    chunks: int
    present_chunks: int


@dataclass(frozen=True, slots=True)
class Eviction:
    """Chunks whose bits are cleared, and whose blocks may be given back once that is durable."""

    chunks: frozenset[int]
    disk_bytes: int
    progress: Progress


class ChunkStore:
    """The content of one layer; it owns the open ``data`` file until it is closed or collected."""

    def __init__(
        self,
        directory: Path,
        chunks: ChunkTable,
        *,
        data_bytes: int,
        usage: CacheUsage | None = None,
    ) -> None:
        """Opens the store in a directory, creating what is missing.

        Args:
            directory: the layer's.
            chunks: the layer's.
            data_bytes: the size of the data space.
            usage: what all stores together hold; it is told what this one does.

        Raises:
            OSError: the directory cannot be used.
        """
        self._directory = directory
        self._chunks = chunks
        self._usage = usage or CacheUsage(_UNLIMITED)
        self._unsaved = False
        self._leaving: frozenset[int] = frozenset()
        self._written: set[int] = set()
        self._evictions = 0
        self._pins = 0
        self._file = PresentFile(directory)
        self._present = self._file.load(chunks, data_bytes=data_bytes)
        self._fd = os.open(directory / DATA_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Whoever still reads holds the store, so collecting it is the right time to close.
        self._close = weakref.finalize(self, os.close, self._fd)
        if not self._present.count:
            os.ftruncate(
                self._fd, 0
            )  # what is there and does not count would take room for nothing
        os.ftruncate(self._fd, data_bytes)
        # In seconds since 1970, as saved: when the layer was last used.
        self.last_use = os.fstat(self._fd).st_atime

    def __repr__(self) -> str:
        return f"<ChunkStore {self._directory.name} {self._present.count}/{len(self._chunks)}>"

    @property
    def is_empty(self) -> bool:
        """Whether no chunk is present."""
        return self._present.count == 0

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is present."""
        return self._present.count == len(self._chunks)

    @property
    def is_pinned(self) -> bool:
        """Whether somebody relies on what is present: who pinned it, or the kernel, which may have mounted ``data``."""
        return self._pins > 0 or is_pinned_for_kernel(self._directory)

    @property
    def landed_bytes(self) -> int:
        """The compressed size of the members that are present as a whole, and need not be fetched again."""
        return self._present.landed_bytes

    @property
    def disk_bytes(self) -> int:
        """The blocks that are taken."""
        return self._present.disk_bytes

    @property
    def has_room(self) -> bool:
        """Whether the cache can take more."""
        return self._usage.used_bytes < self._usage.limit_bytes

    @property
    def has_spare_room(self) -> bool:
        """Whether the cache can take more without giving up anything soon."""
        return self._usage.used_bytes < self._usage.spare_bytes

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Nothing that is present is evicted for the time of a ``with`` block; in the trio thread."""
        self._pins += 1
        try:
            yield
        finally:
            self._pins -= 1

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Those of the chunks that are not present."""
        return self._present.missing(indices)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the data space; the caller is in the trio thread, and knows that the chunks there are present."""
        return os.pread(self._fd, size, offset)

    def read_present(self, chunks: range, offset: int, size: int) -> bytes | None:
        """Bytes of the data space; None unless all the chunks there are present, and stay so meanwhile. In any thread."""
        evictions = self._evictions
        if self._present.missing(chunks):
            return None
        data = os.pread(self._fd, size, offset)
        return data if self._evictions == evictions else None

    def write(self, index: int, chunk: VerifiedChunk) -> None:
        """Puts a chunk in its place, for ``mark_present`` to follow.

        Raises:
            CacheFullError: there is no room for it.
            OSError: the disk is full or broken.
        """
        with self._writing(index):
            write_at(self._fd, chunk.data, self._chunks.data_offsets[index])

    @contextmanager
    def _writing(self, index: int) -> Iterator[None]:
        """A chunk is written in the ``with`` block; it counts as written unless that fails."""
        # First, so that an eviction which begins now either takes it away again or is seen here.
        self._written.add(index)
        try:
            self._check_room(index)
            yield
        except OSError as error:
            self._written.discard(index)
            self._usage.tell_unkept(error)
            raise
        self._usage.tell_written()

    def _check_room(self, index: int) -> None:
        if index in self._leaving:
            raise OSError(f"chunk {index} is just being evicted")
        if index not in self._present:
            self._usage.check_room(block_bytes(self._chunks, index))

    def copy(self, index: int, source: "ChunkStore", source_index: int) -> None:
        """Puts a chunk of another store in its place, for ``mark_present`` to follow; what has arrived is verified.

        File systems that can let both share the same blocks.

        Raises:
            DigestMismatchError: it is another one, or the source gave it up meanwhile.
            CacheFullError: there is no room for it.
            OSError: the disk is full or broken.
        """
        offset, size = self._chunks.data_offsets[index], self._chunks.sizes[index]
        ((start, end),) = disk_ranges(self._chunks, [index])
        ((source_start, source_end),) = disk_ranges(source._chunks, [source_index])  # noqa: SLF001 - another of its kind
        # Whole blocks, where both are the last of their file: only these can be shared.
        length = min(end - start, source_end - source_start)
        with self._writing(index):
            copy_range(source._fd, self._fd, source_start, start, length=length)  # noqa: SLF001
            content = os.pread(self._fd, size, offset)
            try:
                VerifiedChunk(f"chunk {index}", self._chunks.digest(index), memoryview(content))
            except DigestMismatchError:
                self._written.discard(index)
                raise

    def mark_present(self, indices: Iterable[int]) -> int:
        """Makes written chunks count; those that were evicted since they were written do not. Gives the blocks they take."""
        written = [index for index in indices if index in self._written]
        self._written.difference_update(written)
        taken = self._present.add(written)
        self._usage.tell_taken(taken)
        self._unsaved = self._unsaved or taken > 0
        return taken

    def take_unsaved(self) -> Progress | None:
        """What ``save`` should make durable; None when it did so already."""
        if not self._unsaved:
            return None
        return self._take_progress()

    def _take_progress(self) -> Progress:
        self._unsaved = False
        return self._file.next_progress(self._present)

    def save(self, progress: Progress) -> None:
        """Makes the content durable, then the bits that tell of it.

        Raises:
            OSError: the disk is full or broken; what was durable before still is, and the rest is still unsaved.
        """
        try:
            self._file.save(progress, self._fd)
        except OSError:
            self._unsaved = True
            raise

    def begin_eviction(self, wanted_bytes: int) -> Eviction:
        """Gives up present chunks that take so many blocks, if there are; at most some thousand. The last of the blob go first.

        What the image's author put first is what a container reads first. ``punch`` and ``end_eviction`` follow.
        """
        going: set[int] = set()
        gained = 0
        for number in reversed(range(self._chunks.member_count)):
            if gained >= wanted_bytes or len(going) >= _MAX_LEAVING:
                break
            for index in self._chunks.member(number).chunks:
                if index in self._present:
                    going.add(index)
                    gained += block_bytes(self._chunks, index)
        self._evictions += 1
        self._leaving = frozenset(going)
        self._written -= going
        self._usage.tell_evicted(self._present.remove(going))
        return Eviction(self._leaving, gained, self._take_progress())

    def punch(self, eviction: Eviction) -> None:
        """Makes it durable that the chunks are not there, then gives their blocks back.

        Raises:
            OSError: the disk is broken; the chunks are given up all the same.
        """
        self._file.save_without(eviction.progress, self._fd)
        for start, end in disk_ranges(self._chunks, eviction.chunks):
            punch_hole(self._fd, start, end - start)

    def end_eviction(self) -> None:
        """What was evicted may come again."""
        self._leaving = frozenset()
        self._unsaved = True  # the bits that are left may have been lost to a full disk

    def save_last_use(self, seconds: float) -> None:
        """Remembers when the layer was last used, in a time of the file; it may not survive a loss of power."""
        self.last_use = seconds
        os.utime(self._fd, (seconds, os.fstat(self._fd).st_mtime))

    def join_cache(self) -> None:
        """What this store holds counts from now on."""
        self._usage.tell_taken(self._present.disk_bytes)

    def tell_shared(self, size: int) -> None:
        """So many of the blocks that are taken were filled from another layer."""
        self._usage.tell_shared(size)

    def leave_cache(self) -> None:
        """What this store holds counts no more: it will be deleted."""
        self._usage.tell_deleted(self._present.disk_bytes)
        self._usage = CacheUsage(_UNLIMITED)

    def retire(self) -> None:
        """Waits for saves that are under way, and makes none any more: the directory may be deleted. In any thread."""
        self._file.retire()

    def close(self) -> None:
        """Closes ``data``; nothing may be reading."""
        self._close()

    def statistics(self) -> StoreStatistics:
        """What is here now."""
        return StoreStatistics(
            content_bytes=self._chunks.content_bytes,
            present_bytes=self._present.content_bytes,
            disk_bytes=self._present.disk_bytes,
            chunks=len(self._chunks),
            present_chunks=self._present.count,
        )
