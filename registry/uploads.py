"""Blobs into registries, from files."""

from collections.abc import Callable
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

import trio

from registry.authorizer import Access
from registry.digest import Digest
from registry.errors import BadResponseError
from registry.exchange import Call, Exchange
from registry.hosts import resolve_url
from registry.reading import find_blob_size
from registry.reference import Repository

PIECE_BYTES: Final = 1 << 20

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


class _Upload:
    """One file on its way to a registry: asks where to put it, and puts it there in one request."""

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

    async def attempt(self) -> None:
        location = await self._begin()
        separator = "&" if "?" in location else "?"
        headers = {
            "Content-Length": str(self._size),
            "Content-Type": "application/octet-stream",
        }
        async with await trio.open_file(self._path, "rb") as file:
            call = Call(
                "PUT",
                self._repository,
                f"{location}{separator}digest={self._digest}",
                headers=headers,
                content=partial(_Pieces, file.wrapped, self),
                access=Access.PUSH,
                expected=frozenset({201}),
            )
            async with self._exchange.open(call):
                pass

    def report(self, delta: int) -> None:
        if delta:
            self._reported += delta
            self._on_progress(delta)

    def start_over(self) -> None:
        self.report(-self._reported)

    async def _begin(self) -> str:
        call = Call(
            "POST",
            self._repository,
            f"{self._repository.name}/blobs/uploads/",
            content=b"",
            access=Access.PUSH,
            expected=frozenset({202}),
        )
        async with self._exchange.open(call) as response:
            location = resolve_url(response.url, response.header("Location") or "")
        if location is None or location == response.url:
            detail = "it does not say where to upload to"
            raise BadResponseError(response.host, url=response.url, detail=detail)
        return location


class _Pieces:
    """A file's content from its beginning, reported as it is taken; no generator, as a failed request would leave it open."""

    def __init__(self, file: BufferedReader, upload: _Upload) -> None:
        self._file = file
        self._upload = upload
        self._begun = False
        self._pending = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            self._upload.start_over()
            await trio.to_thread.run_sync(self._file.seek, 0)
        self._upload.report(self._pending)
        piece = await trio.to_thread.run_sync(self._file.read, PIECE_BYTES)
        self._pending = len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece


def _ignore_progress(_delta: int) -> None:
    pass
