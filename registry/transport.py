"""The client's door to the network: one request in, one open response out.

No redirects, no credentials, no retries: those are ``registry.exchange``. How bytes get on and off the wire is
``registry.transfers``'. Failures of the network leave as ``UnreachableError``, bodies that are cut as ``BadResponseError``.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import trio

from registry.counters import Counters
from registry.endpoints import Connection
from registry.errors import (
    BadResponseError,
    RegistryError,
    TlsFileError,
    UnreachableError,
    UntrustedError,
)
from registry.failures import Failure, error_from_failure
from registry.hosts import origin, resolve_url
from registry.proxies import ProxySettings
from registry.settings import ClientSettings
from registry.tls import TlsFiles, load_tls
from registry.transfer import Problem, Transfer, TransferError
from registry.transfers import Route, Transfers

MAX_DRAINED_BYTES: Final = 64 << 10
_MAX_ROUTES: Final = 1024
_HEADERS: Final = {
    "User-Agent": "pyestargz",
    "Accept": "*/*",
    # Digests and ranges are of the bytes as stored: nobody may compress them on the way.
    "Accept-Encoding": "identity",
}

BodySource = Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. A body is bytes, or a function that starts it afresh, with its length in the headers.

    ``connection`` says how the URL's host is connected to.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | BodySource | None = field(default=None, repr=False)
    connection: Connection = field(default_factory=Connection)


class Response:
    """An open response; whoever holds it closes it, by ``close`` or ``discard``."""

    def __init__(
        self, url: str, transfer: Transfer, close: Callable[[], None], counters: Counters
    ) -> None:
        self.url = url
        self._transfer = transfer
        self._close = close
        self._counters = counters
        self._discarded: bytes | None = None

    def __repr__(self) -> str:
        return f"<Response {self.status} from {self.host}>"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._transfer.status

    @property
    def host(self) -> str:
        """The host that answered, with its port."""
        return urlsplit(self.url).netloc

    def header(self, name: str) -> str | None:
        """A header's value; several of one name are joined with commas."""
        return self._transfer.headers.get(name.lower())

    async def receive(self) -> bytes:
        """What has arrived of the body since the last time, waiting for it; nothing at its end.

        Raises:
            BadResponseError: it ends early.
            UnreachableError: the network failed, or was silent for too long.
        """
        with _mapped_errors(self.url, cut=BadResponseError):
            received = await self._transfer.receive()
        self._counters.bytes_received += len(received)
        return received

    async def read(self, max_bytes: int) -> bytes:
        """The whole body.

        Raises:
            BadResponseError: it ends early, or has more than ``max_bytes``.
            UnreachableError: the network failed, or was silent for too long.
        """
        data = await self.read_prefix(max_bytes + 1)
        if len(data) > max_bytes:
            detail = f"the body has more than {max_bytes} bytes"
            raise BadResponseError(self.host, url=self.url, detail=detail, retryable=False)
        return data

    async def read_prefix(self, max_bytes: int) -> bytes:
        """The first bytes of the body, all of a shorter one.

        Raises:
            BadResponseError: it ends early.
            UnreachableError: the network failed, or was silent for too long.
        """
        data = bytearray()
        while len(data) < max_bytes and (received := await self.receive()):
            data += received[: max_bytes - len(data)]
        return bytes(data)

    async def discard(self) -> bytes:
        """Closes the response so that its connection can be used again, and returns the beginning of its body."""
        if self._discarded is None:
            self._discarded = b""
            try:
                self._discarded = await self.read_prefix(MAX_DRAINED_BYTES)
            except (BadResponseError, UnreachableError):
                pass  # the status says enough
            finally:
                self.close()
        return self._discarded

    async def refusal(self, *, host: str, redirected: bool = False) -> RegistryError:
        """Closes the response and says what it refuses; arguments as in ``Failure``."""
        failure = Failure(
            host=host,
            url=self.url,
            status=self.status,
            body=await self.discard(),
            retry_after=self.header("Retry-After"),
            redirected=redirected,
        )
        return error_from_failure(failure, now=datetime.now(UTC))

    def close(self) -> None:
        """Closes the response; the connection too, unless the body was received to its end."""
        self._close()


class Transport:
    """All connections of a client; an async context manager."""

    def __init__(self, settings: ClientSettings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._transfers = Transfers(max_connections=settings.max_connections, counters=counters)
        self._free = trio.Semaphore(settings.max_connections)
        self._proxies = settings.proxies or ProxySettings.from_environment(os.environ)
        self._routes: dict[tuple[Connection, tuple[str, str, int]], Route] = {}

    def __repr__(self) -> str:
        used = self._settings.max_connections - self._free.value
        return f"<Transport {used} of {self._settings.max_connections} connections in use>"

    async def __aenter__(self) -> Self:
        await self._transfers.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transfers.__aexit__(kind, error, traceback)

    def use(self, settings: ClientSettings) -> None:
        """Time-outs that hold from the next request on; how many connections there may be, and proxies, stay what they were."""
        self._settings = replace(settings, max_connections=self._settings.max_connections)
        self._routes.clear()

    def proxy_host(self, url: str) -> str:
        """The host, with its port, of the proxy that a URL is fetched through; empty without one."""
        return urlsplit(self._proxies.proxy_for(url) or "").netloc.rpartition("@")[2]

    async def send(self, request: Request) -> Response:
        """Sends a request and waits for the response's headers.

        Raises:
            UnreachableError: there was no response.
        """
        with _mapped_errors(request.url, cut=UnreachableError):
            if resolve_url(request.url, request.url) is None:
                raise TransferError(Problem.UNUSABLE_URL, Problem.UNUSABLE_URL.value)
            route = await self._route(request)
            await self._wait_free()
            with contextlib.ExitStack() as unless_answered:
                unless_answered.callback(self._free.release)
                transfer = unless_answered.enter_context(self._start(request, route))
                await self._send_body(request, transfer)
                await transfer.wait_headers()
                close = unless_answered.pop_all().close
        return Response(request.url, transfer, close, self._counters)

    async def _route(self, request: Request) -> Route:
        key = request.connection, origin(request.url)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            route = self._routes[key] = await self._find_route(request)
        return route

    async def _find_route(self, request: Request) -> Route:
        connection, settings = request.connection, self._settings
        tls = TlsFiles()
        if connection.has_tls_settings:
            tls = await self._load_tls(request.url, connection)
        return Route(
            tls=tls,
            verify=connection.verify,
            proxy=self._proxies.proxy_for(request.url) or "",
            connect_timeout_seconds=connection.connect_timeout_seconds
            or settings.connect_timeout_seconds,
            silence_seconds=connection.inactivity_timeout_seconds
            or settings.inactivity_timeout_seconds,
        )

    async def _load_tls(self, url: str, connection: Connection) -> TlsFiles:
        try:
            return await trio.to_thread.run_sync(load_tls, connection)
        except TlsFileError as error:
            host = urlsplit(url).netloc
            raise UnreachableError(host, detail=str(error), retryable=False) from error

    async def _wait_free(self) -> None:
        """Waits until one request more may be under way."""
        with contextlib.suppress(trio.WouldBlock):
            self._free.acquire_nowait()
            return
        with trio.move_on_after(self._settings.inactivity_timeout_seconds) as patience:
            await self._free.acquire()
        if patience.cancelled_caught:
            raise TransferError(Problem.SILENT, "all connections stayed busy for too long")

    def _start(self, request: Request, route: Route) -> Transfer:
        headers = {**_HEADERS, **request.headers}
        length = None if request.content is None else headers.pop("Content-Length", None)
        if isinstance(request.content, bytes):
            length = str(len(request.content))
        self._counters.requests += 1
        return self._transfers.start(
            request.method,
            request.url,
            headers,
            route,
            body_bytes=None if length is None else int(length),
        )

    async def _send_body(self, request: Request, transfer: Transfer) -> None:
        content = request.content
        if isinstance(content, bytes):
            self._counters.bytes_sent += len(content)
            await transfer.send(content)
        elif content is not None:
            async for piece in content():
                self._counters.bytes_sent += len(piece)
                if not await transfer.send(piece):
                    break
        transfer.end_body()


@contextlib.contextmanager
def _mapped_errors(url: str, *, cut: type[RegistryError]) -> Iterator[None]:
    host = urlsplit(url).netloc
    try:
        yield
    except TransferError as error:
        kind: type[RegistryError]
        match error.problem:
            case Problem.CUT:
                kind = cut
            case Problem.UNTRUSTED:
                kind = UntrustedError
            case _:
                kind = UnreachableError
        retryable = False if error.problem is Problem.UNUSABLE_URL else None
        raise kind(host, url=url, detail=str(error), retryable=retryable) from error
