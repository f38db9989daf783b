"""A layer's blob in its registry, and what it cost to read from it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import assert_never

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
from registry.client import BlobRange, RegistryClient
from registry.digest import Digest
from registry.reference import Reference


@dataclass(frozen=True, slots=True)
class BlobStatistics:
    """Requests made for a blob, and bytes received in answer, since it was attached."""

    requests: int
    bytes_received: int


class LayerBlob:
    """Reads a blob by ranges, from the repository of the image that last asked for it."""

    def __init__(self, client: RegistryClient, reference: Reference, digest: Digest) -> None:
        self._client = client
        self.reference = reference
        self.digest = digest
        self._requests = 0
        self._bytes_received = 0

    def __repr__(self) -> str:
        return f"<LayerBlob {self.reference.repository_name} {self.digest}>"

    async def find_toc(self) -> FoundToc:
        """Fetches the compressed TOC, in one request where it is in the blob and not unusually large.

        Raises:
            NotEstargzError, TocError: the blob has no TOC, or none that can be believed.
            RegistryError: the registry would not answer.
        """
        opening = open_layer()
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
    async def stream(self, *, start: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens exactly ``length`` bytes from ``start`` on, to be read as they arrive.

        Raises:
            RegistryError: at opening or while reading; also when fewer bytes come.
        """
        self._requests += 1
        repository = self.reference.repository_name
        async with (
            self._client.stream_range(
                repository, self.digest, start=start, length=length
            ) as pieces,
            aclosing(self._counted(pieces)) as counted,
        ):
            yield counted

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for piece in pieces:
            self._bytes_received += len(piece)
            yield piece

    def statistics(self) -> BlobStatistics:
        """What it cost so far."""
        return BlobStatistics(self._requests, self._bytes_received)


class StreamWindow:
    """Pieces of a blob, joined until a whole member is there."""

    def __init__(self, pieces: AsyncIterator[bytes], start: int) -> None:
        self._pieces = pieces
        self._start = start
        self._buffer = bytearray()

    async def take(self, start: int, end: int) -> bytes:
        """The bytes ``[start, end)`` of the blob; what lies before is given up."""
        while self._start + len(self._buffer) < end:
            self._buffer += await anext(self._pieces)
        data = bytes(memoryview(self._buffer)[start - self._start : end - self._start])
        del self._buffer[: end - self._start]
        self._start = end
        return data
