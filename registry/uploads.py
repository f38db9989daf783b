"""Blobs into registries: from files, and from other repositories of the same registry.

A file goes in one request where all goes well. Where an attempt breaks off, the next one asks the registry how far it got and
goes on from there; where a server on the way takes no body of that size (413), it goes in chunks.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import trio

from registry.authorizer import Access
from registry.digest import Digest
from registry.errors import BadResponseError, RegistryError
from registry.exchange import Call, Exchange
from registry.hosts import resolve_url
from registry.reading import find_blob_size
from registry.reference import Repository
from registry.transport import BodySource, Response

PIECE_BYTES: Final = 1 << 20
MAX_CHUNK_BYTES: Final = 1 << 30

_TOO_LARGE: Final = 413
# The session is gone, or does not go on where we think it does.
_LOST_STATUSES: Final = frozenset({400, 404, 405, 416})
# Mounting is an offer that a registry may decline in many ways, the polite one being a session for an upload.
_DECLINED_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 501})
_CREATED: Final = 201
_RECEIVED = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")

OnProgress = Callable[[int], None]


async def upload_blob(
    exchange: Exchange,
    repository: Repository,
    digest: Digest,
    path: Path,
    *,
    on_progress: OnProgress | None = None,
) -> None:
    """Uploads a file as a blob, unless the repository has it; see ``RegistryClient.push_blob``."""
    size = (await trio.Path(path).stat()).st_size
    upload = _Upload(exchange, repository, digest, path, size, on_progress or _ignore_progress)
    if await find_blob_size(exchange, repository, digest, access=Access.PUSH) is None:
        await exchange.retrying(upload.attempt)
    else:
        upload.report(size)


async def mount_blob(
    exchange: Exchange, repository: Repository, digest: Digest, *, source: Repository
) -> bool:
    """Lets a repository have a blob of another one; see ``RegistryClient.mount_blob``."""
    if source.host != repository.host:
        return False
    call = Call(
        "POST",
        repository,
        f"{repository.name}/blobs/uploads/?mount={digest}&from={source.name}",
        content=b"",
        access=Access.PUSH,
        expected=frozenset({201, 202}),
        mounted_from=source,
    )
    try:
        return await exchange.retrying(partial(_mount_once, exchange, call))
    except RegistryError as error:
        if error.status in _DECLINED_STATUSES:
            return False
        raise


async def _mount_once(exchange: Exchange, call: Call) -> bool:
    async with exchange.open(call) as response:
        return response.status == _CREATED


class _Upload:
    """One file on its way to a registry."""

    def __init__(
        self,
        exchange: Exchange,
        repository: Repository,
        digest: Digest,
        path: Path,
        size: int,
        on_progress: OnProgress,
    ) -> None:
        self._exchange = exchange
        self._repository = repository
        self._digest = digest
        self._path = path
        self._size = size
        self._on_progress = on_progress
        self._reported = 0
        self._location: str | None = None
        self._received = 0
        self._chunk_bytes: int | None = None

    async def attempt(self) -> None:
        """Brings the file there, from where the last attempt got to."""
        if self._location is not None:
            await self._find_out()
        location = self._location or await self._begin()
        try:
            async with await trio.open_file(self._path, "rb") as file:
                await self._send_all(location, file.wrapped)
        except RegistryError as error:
            raise self._with_other_means(error) from error

    def report(self, delta: int) -> None:
        """Tells of bytes sent, or taken back."""
        if delta:
            self._reported += delta
            self._on_progress(delta)

    def report_at(self, position: int) -> None:
        """Tells that the file has got this far."""
        self.report(position - self._reported)

    async def _begin(self) -> str:
        self._received = 0
        call = self._call("POST", f"{self._repository.name}/blobs/uploads/", 202, content=b"")
        async with self._exchange.open(call) as response:
            self._note_least_chunk(response)
            return self._next_location(response)

    async def _find_out(self) -> None:
        """Asks how far the last attempt got; where the registry does not know, the upload starts over."""
        try:
            async with self._exchange.open(
                self._call("GET", self._location or "", 204)
            ) as response:
                received = _RECEIVED.fullmatch(response.header("Range") or "")
                # "0-0" is said of nothing and of one byte; nothing is right for both.
                last = int(received[1]) if received else 0
                self._received = min(last + 1, self._size) if last else 0
                self._next_location(response)
        except RegistryError as error:
            if error.retryable:
                raise
            self._location, self._received = None, 0

    async def _send_all(self, location: str, file: BufferedReader) -> None:
        if self._chunk_bytes is None and not self._received:
            await self._finish(location, file, self._size)
            return
        while self._received < self._size:
            location = await self._send_chunk(location, file)
        await self._finish(location, file, 0)

    async def _send_chunk(self, location: str, file: BufferedReader) -> str:
        start = self._received
        length = min(self._chunk_bytes or self._size, self._size - start)
        headers = {**_body_headers(length), "Content-Range": f"{start}-{start + length - 1}"}
        pieces = partial(_Pieces, file, self, start, length)
        call = self._call("PATCH", location, 202, headers=headers, content=pieces)
        async with self._exchange.open(call) as response:
            self._received = start + length
            return self._next_location(response)

    async def _finish(self, location: str, file: BufferedReader, length: int) -> None:
        """Ends the upload with the file's last ``length`` bytes."""
        url = f"{location}{'&' if '?' in location else '?'}digest={self._digest}"
        pieces = partial(_Pieces, file, self, self._size - length, length)
        call = self._call("PUT", url, 201, headers=_body_headers(length), content=pieces)
        async with self._exchange.open(call):
            pass

    def _with_other_means(self, error: RegistryError) -> RegistryError:
        """The error; worth another attempt where there is another way to go on."""
        chunk_bytes = self._exchange.settings.upload_chunk_bytes
        if error.status == _TOO_LARGE and self._chunk_bytes is None and self._size > chunk_bytes:
            self._chunk_bytes = chunk_bytes
        elif error.status not in _LOST_STATUSES or not self._received:
            return error
        self._location, self._received = None, 0
        detail = f"{error.detail}; the upload starts over"
        return BadResponseError(
            error.host, status=error.status, code=error.code, detail=detail, url=error.url
        )

    def _note_least_chunk(self, response: Response) -> None:
        least = response.header("OCI-Chunk-Min-Length") or ""
        if self._chunk_bytes is not None and least.isascii() and least.isdigit():
            self._chunk_bytes = min(max(int(least), self._chunk_bytes), MAX_CHUNK_BYTES)

    def _call(
        self,
        method: str,
        path: str,
        status: int,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        content: bytes | BodySource | None = None,
    ) -> Call:
        return Call(
            method,
            self._repository,
            path,
            headers=headers,
            content=content,
            access=Access.PUSH,
            expected=frozenset({status}),
        )

    def _next_location(self, response: Response) -> str:
        """Where the upload goes on; a registry need not repeat it."""
        header = response.header("Location")
        location = resolve_url(response.url, header) if header else self._location
        if location is None:
            detail = "it does not say where to upload to"
            raise BadResponseError(response.host, url=response.url, detail=detail)
        self._location = location
        return location


class _Pieces:
    """A part of a file, reported as it is taken; no generator, as a failed request would leave it open."""

    def __init__(self, file: BufferedReader, upload: _Upload, start: int, length: int) -> None:
        self._file = file
        self._upload = upload
        self._position = start
        self._stop = start + length
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            await trio.to_thread.run_sync(self._file.seek, self._position)
        self._upload.report_at(self._position)
        wanted = min(PIECE_BYTES, self._stop - self._position)
        piece = await trio.to_thread.run_sync(self._file.read, wanted) if wanted else b""
        self._position += len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece


def _body_headers(length: int) -> dict[str, str]:
    return {"Content-Length": str(length), "Content-Type": "application/octet-stream"}


def _ignore_progress(_delta: int) -> None:
    pass
