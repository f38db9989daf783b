"""Requests to Kubernetes' API server, as far as Secrets are read there: whole answers, and those that go on for long."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

import msgspec
import trio

from registry.counters import Counters
from registry.errors import ApiServerError
from registry.keychain.cluster_door import Door, open_door
from registry.keychain.credential_settings import KubernetesSettings
from registry.keychain.exec_credentials import ExecCredentials
from registry.transfer import Transfer, TransferError
from registry.transfers import Transfers

MAX_ANSWER_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 4 << 20  # Kubernetes takes no larger object
_MAX_REFUSAL_BYTES: Final = 64 << 10
_OK: Final = 200
_UNAUTHORIZED: Final = 401


class ApiServer:
    """Asks for what is below ``/api/v1``; an async context manager, for a few tasks.

    Every failure is a ``CredentialsError`` of one line.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._plugins = ExecCredentials(timeout_seconds=settings.program_timeout_seconds)
        self._opening = trio.Lock()
        self._transfers = Transfers(max_connections=4, counters=Counters())
        self._exit = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<ApiServer by {self._settings.kubeconfig or 'kubeconfig'}>"

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self._transfers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.__aexit__(kind, error, traceback)

    async def read(self, resource: str, query: Mapping[str, str]) -> bytes:
        """The whole answer to a question.

        Raises:
            ApiServerError: the server refuses, or cannot be reached, or has too much to say.
            CredentialsError: the kubeconfig, or what it names, cannot be used.
        """
        answer = bytearray()
        async with self._asked(resource, query) as pieces:
            async for piece in pieces:
                answer += piece
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ApiServerError(
                        resource, f"they take more than {MAX_ANSWER_BYTES >> 20} MiB"
                    )
        return bytes(answer)

    @asynccontextmanager
    async def lines(
        self, resource: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer as they come, until it ends, from when the server begins to answer.

        Args:
            resource: what is asked for, as ``secrets``.
            query: how.
            silence_seconds: how long the server may have nothing to say.

        Raises:
            ApiServerError: the server refuses, cannot be reached, or breaks off; also out of the iteration.
            CredentialsError: the kubeconfig, or what it names, cannot be used.
        """
        async with (
            self._asked(resource, query, silence_seconds=silence_seconds) as pieces,
            aclosing(_split(pieces)) as lines,
        ):
            yield lines

    @asynccontextmanager
    async def _asked(
        self, resource: str, query: Mapping[str, str], *, silence_seconds: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        door = await self._open()
        transfer = await self._start(door, resource, query, silence_seconds)
        if transfer.status == _UNAUTHORIZED and self._plugins.forget():
            transfer.close()  # what a program said the last time may have been revoked
            door = await self._open()
            transfer = await self._start(door, resource, query, silence_seconds)
        with transfer:
            if transfer.status != _OK:
                body = await _prefix(transfer, door.server)
                raise ApiServerError(door.server, _message(body), status=transfer.status)
            async with aclosing(_pieces(transfer, door.server)) as pieces:
                yield pieces

    async def _open(self) -> Door:
        async with self._opening:
            return await trio.to_thread.run_sync(open_door, self._settings, self._plugins)

    async def _start(
        self, door: Door, resource: str, query: Mapping[str, str], silence_seconds: float | None
    ) -> Transfer:
        """Sends a request; returns when the headers of the answer are here."""
        url = f"{door.url}/api/v1/{resource}?{urlencode(query)}"
        route = door.route
        if silence_seconds is not None:
            route = replace(route, silence_seconds=silence_seconds)
        with ExitStack() as unless_answered:
            transfer = self._transfers.start("GET", url, door.headers, route)
            unless_answered.enter_context(transfer)
            with _told_of(door.server):
                await transfer.wait_headers()
            unless_answered.pop_all()
        return transfer


async def _pieces(transfer: Transfer, server: str) -> AsyncGenerator[bytes]:
    while True:
        with _told_of(server):
            piece = await transfer.receive()
        if not piece:
            return
        yield piece


async def _split(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > MAX_LINE_BYTES:
            raise ApiServerError("the API server", "a line of its answer is too long")


async def _prefix(transfer: Transfer, server: str) -> bytes:
    body = b""
    with _told_of(server):
        while len(body) < _MAX_REFUSAL_BYTES and (piece := await transfer.receive()):
            body += piece
    return body


class _Status(msgspec.Struct):
    message: str = ""


def _message(body: bytes) -> str:
    """What a refusal says, without what else there may be."""
    try:
        return msgspec.json.decode(body, type=_Status).message
    except (ValueError, RecursionError):
        return ""


@contextmanager
def _told_of(server: str) -> Iterator[None]:
    try:
        yield
    except TransferError as error:
        raise ApiServerError(server, str(error), unreachable=True) from error
