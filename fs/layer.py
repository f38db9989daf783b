"""A layer that can be read: its compiled image, its content on disk, and the way to the rest."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from estargz.verify import VerifiedChunk
from fs.durations import Durations
from fs.errors import ChunkUnavailableError
from fs.fetch_counters import FetchStatistics
from fs.fetching import Fetcher
from fs.layer_opening import OpenedLayer
from fs.sharing import SharedContent
from registry.digest import Digest
from registry.reference import Reference

# An eviction that comes between is seldom; two of them do not happen, as the layer is pinned meanwhile.
_MAX_EVICTED_AGAIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """What is here of a layer, and what it cost. All sizes in bytes.

    ``blob`` and ``landed`` are compressed; ``landed`` is the part of the blob that need not be
    fetched again. ``received`` counts every byte that came, wrong ones and the TOC included;
    ``disk`` counts blocks; ``shared`` was copied from other layers. ``last_used`` is in seconds since 1970.
    """

    layer: Digest
    reference: Reference
    blob_bytes: int
    landed_bytes: int
    content_bytes: int
    present_bytes: int
    disk_bytes: int
    shared_bytes: int
    requests: int
    received_bytes: int
    verify_failures: int
    last_error: str
    last_used: float
    fetching: FetchStatistics = field(default_factory=FetchStatistics)


class Layer:
    """An attached layer."""

    def __init__(
        self,
        number: int,
        opened: OpenedLayer,
        *,
        fetcher: Fetcher,
        shared: SharedContent,
        durations: Durations,
    ) -> None:
        self.number = number
        self.image = opened.image
        self.store = opened.store
        self.blob = opened.blob
        self.toc_digest = Digest.parse(opened.record.toc_digest)
        self.fetcher = fetcher
        self.shared = shared
        self.durations = durations
        # In seconds since 1970, as it outlives the process: when it was last read, or attached.
        self.last_used = opened.last_used
        self.blob_bytes = opened.record.blob_bytes
        # Set when who starts a container need not wait any more: what the image names is here, will not be, or took too long.
        self.prefetched = trio.Event()
        # The layer is filled within this scope, which detaching cancels; afterwards the event is set.
        self.filling = trio.CancelScope()
        self.filled = trio.Event()

    def __repr__(self) -> str:
        return f"<Layer {self.number} {self.digest} {self.store!r}>"

    @property
    def digest(self) -> Digest:
        """The blob's digest, the layer's name."""
        return self.blob.digest

    def read_at_once(self, index: int, *, offset: int, size: int) -> bytes | None:
        """Content of a regular file, short only at its end; None where something of it is not here.

        Raises:
            WrongKindError: the inode is no regular file.
            OSError: the disk is broken.
        """
        extent = self.image.inodes.extent(index)
        size = min(size, extent.size - offset)
        if size <= 0:
            return b""
        start = extent.offset + offset
        chunks = self.image.chunks.covering(start, start + size)
        content = self.read_present(chunks, start, size)
        if content is not None:
            self.fetcher.hit(chunks)
        return content

    async def read(self, index: int, *, offset: int, size: int) -> bytes:
        """Content of a regular file, which is fetched where it is not here; short only at its end.

        Raises:
            WrongKindError: the inode is no regular file.
            ChunkUnavailableError: the content could not be fetched, or was wrong.
        """
        content = self.read_at_once(index, offset=offset, size=size)
        if content is not None:
            return content
        extent = self.image.inodes.extent(index)
        start, size = extent.offset + offset, min(size, extent.size - offset)
        chunks = self.image.chunks.covering(start, start + size)
        with self.store.pinned():
            unkept = await self.wait_present(chunks)
            if not unkept:
                return self.store.read(start, size)
            return b"".join(self._piece(index, start, start + size, unkept) for index in chunks)

    def read_present(self, chunks: range, offset: int, size: int) -> bytes | None:
        """Bytes of the data space if all the chunks there are here; in any thread.

        Raises:
            OSError: the disk is broken.
        """
        self.last_used = time.time()
        return self.store.read_present(chunks, offset, size)

    async def wait_present(self, chunks: range) -> Mapping[int, VerifiedChunk]:
        """Returns when chunks are in the store; those that the disk would not take, it returns. The caller pins the store.

        Raises:
            ChunkUnavailableError: one of them could not be brought.
        """
        if not self.shared.is_done:
            await self.shared.bring(self.store.missing(chunks))
        for _ in range(_MAX_EVICTED_AGAIN):
            if not self.store.missing(chunks):
                return {}
            unkept = await self.fetcher.wait_present(chunks)
            # What came just when it was evicted does not count as present; it is not evicted again while this waits.
            if unkept.keys() >= set(self.store.missing(chunks)):
                return unkept
        raise ChunkUnavailableError(
            layer=self.digest, chunk=str(chunks), reason="it was evicted while it was waited for"
        )

    def _piece(
        self, index: int, start: int, end: int, unkept: Mapping[int, VerifiedChunk]
    ) -> bytes:
        """What a chunk has of ``[start, end)`` of the data space, also if the disk would not take it."""
        offset = self.image.chunks.data_offsets[index]
        start, end = max(start, offset), min(end, offset + self.image.chunks.sizes[index])
        if index in unkept:
            return bytes(unkept[index].data[start - offset : end - offset])
        return self.store.read(start, end - start)

    def statistics(self) -> LayerStatistics:
        """What is here now, and what it cost."""
        blob, store = self.blob.statistics(), self.store.statistics()
        fetching = self.fetcher.counters.snapshot()
        landed = self.blob_bytes if self.store.is_complete else self.store.landed_bytes
        return LayerStatistics(
            layer=self.digest,
            reference=self.blob.reference,
            blob_bytes=self.blob_bytes,
            landed_bytes=landed,
            content_bytes=store.content_bytes,
            present_bytes=store.present_bytes,
            disk_bytes=store.disk_bytes,
            shared_bytes=self.shared.copied_bytes,
            requests=blob.requests,
            received_bytes=blob.bytes_received,
            verify_failures=fetching.verify_failures,
            last_error=self.fetcher.last_error,
            last_used=self.last_used,
            fetching=fetching,
        )
