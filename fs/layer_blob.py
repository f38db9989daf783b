"""A layer's blob in its registry, and what it cost to read from it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import assert_never

import trio

from estargz.errors import ExternalTocError
from estargz.external_toc import fetch_external_toc
from estargz.opening import (
    FoundToc,
    Piece,
    RangeRequest,
    TailRequest,
    found_elsewhere,
    open_layer,
)
from fs.durations import Operation
from fs.fetch_counters import FetchCounters, Priority
from fs.link_estimate import LinkEstimate
from fs.node_traffic import NodeTraffic
from fs.request_planning import FetchSettings, tail_bytes
from registry.client import BlobRange, RegistryClient
from registry.digest import Digest
from registry.errors import UnreachableError
from registry.reference import Reference

# All attempts together; containerd waits for whoever asks for a layer.
_OPENING_SECONDS = 55.0


@dataclass(frozen=True, slots=True)
class BlobStatistics:
    """Requests made for a blob, and bytes received in answer, since it was attached."""

    requests: int
    bytes_received: int


class LayerBlob:
    """Reads a blob by ranges, from the repository of the image that last asked for it."""

    def __init__(
        self, client: RegistryClient, reference: Reference, digest: Digest, node: NodeTraffic
    ) -> None:
        self._client = client
        self._node = node
        self.reference = reference
        self.digest = digest
        self.counters = FetchCounters()
        self._requests = 0
        self._bytes_received = 0

    def __repr__(self) -> str:
        return f"<LayerBlob {self.reference.repository_name} {self.digest}>"

    @property
    def link(self) -> LinkEstimate:
        """What is known of the way to the registry."""
        return self._node.link(self.reference.repository_name.host)

    async def distrust(self) -> bool:
        """Tells that what was read the last time was wrong; whether another server of the registry can be asked now."""
        return await self._client.distrust(self.reference.repository_name, self.digest)

    async def find_toc(self) -> FoundToc:
        """Fetches the compressed TOC, in one request where it is in the blob and not unusually large.

        Raises:
            NotEstargzError, TocError: the blob has no TOC, or none that can be believed.
            RegistryError: the registry would not answer, or not in time.
        """
        with (
            trio.move_on_after(_OPENING_SECONDS),
            self._node.durations.measured(Operation.TOC_GET),
        ):
            return await self._find_toc()
        raise UnreachableError(
            self.reference.repository_name.host,
            detail=f"the table of contents has not come in {_OPENING_SECONDS:.0f} seconds",
        )

    async def _find_toc(self) -> FoundToc:
        opening = open_layer(tail_bytes=tail_bytes(self.link.bytes_in_flight))
        request = next(opening)
        while True:
            piece = await self._piece(request)
            try:
                request = opening.send(Piece(piece.start, piece.data, piece.blob_bytes))
            except StopIteration as done:
                found: FoundToc = done.value
                return found
            except ExternalTocError as error:
                compressed = await fetch_external_toc(self._client, self.reference, self.digest)
                return found_elsewhere(compressed, blob_bytes=error.blob_bytes)

    async def _piece(self, request: TailRequest | RangeRequest) -> BlobRange:
        repository = self.reference.repository_name
        match request:
            case TailRequest(length):
                piece = await self._client.read_tail(repository, self.digest, length=length)
            case RangeRequest(start, length):
                piece = await self._client.read_range(
                    repository, self.digest, start=start, length=length
                )
            case _:
                assert_never(request)
        self._requests += 1
        self._bytes_received += len(piece.data)
        return piece

    @asynccontextmanager
    async def stream(
        self,
        *,
        start: int,
        length: int,
        priority: Priority = Priority.DEMAND,
        was_steady: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens exactly ``length`` bytes from ``start`` on, to be read as they arrive.

        ``was_steady`` tells, at the end, whether they were read without a pause.

        Raises:
            RegistryError: at opening or while reading; also when fewer bytes come.
        """
        self._requests += 1
        self.counters.count_request(priority)
        repository = self.reference.repository_name
        async with (
            self._client.stream_range(
                repository,
                self.digest,
                start=start,
                length=length,
                on_retry=self.counters.count_retry,
            ) as pieces,
            aclosing(self._measured(pieces, priority, was_steady)) as measured,
        ):
            yield measured

    async def _measured(
        self, pieces: AsyncIterator[bytes], priority: Priority, was_steady: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Counts what comes, and times it. What its reader does with it counts too: that is how fast a reader gets it."""
        begun, retries = trio.current_time(), self.counters.retries
        first_at, size = 0.0, 0
        async for piece in pieces:
            if not first_at:
                first_at = trio.current_time()
                if self.counters.retries == retries:  # a pause between attempts tells nothing
                    self.link.saw_first_byte(first_at - begun)
                    self._node.durations.observe(Operation.REQUEST, first_at - begun)
            else:
                size += len(piece)
            self._bytes_received += len(piece)
            self.counters.count_bytes(priority, len(piece))
            yield piece
        if was_steady():
            self.link.saw_body(size, trio.current_time() - first_at)

    def statistics(self) -> BlobStatistics:
        """What it cost so far."""
        return BlobStatistics(self._requests, self._bytes_received)


class StreamWindow:
    """Pieces of a blob, joined until a whole member is there."""

    def __init__(
        self, blob: LayerBlob, pieces: AsyncIterator[bytes], start: int, settings: FetchSettings
    ) -> None:
        self._blob = blob
        self._pieces = pieces
        self._start = start
        self._silence_seconds = settings.silence_seconds
        self._buffer = bytearray()
        self._waiting_since: float | None = None

    def __repr__(self) -> str:
        return f"<StreamWindow {len(self._buffer)} bytes from {self._start} on>"

    @property
    def silent_seconds(self) -> float:
        """How long the next piece has been waited for."""
        since = self._waiting_since
        return 0.0 if since is None else trio.current_time() - since

    async def take(self, start: int, end: int) -> bytes:
        """The bytes ``[start, end)`` of the blob; what lies before is given up.

        Raises:
            RegistryError: they do not come, or nothing does for too long.
        """
        while self._start + len(self._buffer) < end:
            piece = await self._next_piece()
            if piece is None:
                raise self._unreachable("the answer ended too early")
            self._buffer += piece
        data = bytes(memoryview(self._buffer)[start - self._start : end - self._start])
        del self._buffer[: end - self._start]
        self._start = end
        return data

    async def drain(self) -> None:
        """Nothing more comes, but only an answer that was read to its end frees its connection."""
        while await self._next_piece() is not None:
            pass

    async def _next_piece(self) -> bytes | None:
        self._waiting_since = trio.current_time()
        with trio.move_on_after(self._silence_seconds):
            piece = await anext(self._pieces, None)
            self._waiting_since = None
            return piece
        raise self._unreachable(f"nothing has come for {self._silence_seconds:g} seconds")

    def _unreachable(self, detail: str) -> UnreachableError:
        return UnreachableError(self._blob.reference.repository_name.host, detail=detail)
