"""The only door to the network, and the only module that knows which HTTP library there is.

One request in, one open response out; no redirects, no credentials, no retries: those are ``registry.exchange``. Failures of
the network leave as ``UnreachableError``, bodies that are cut as ``BadResponseError``; nothing of the library leaks.
"""

import contextlib
import logging
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from registry.counters import Counters
from registry.endpoints import Connection
from registry.errors import BadResponseError, RegistryError, UnreachableError, UntrustedError
from registry.failures import Failure, error_from_failure
from registry.proxies import ProxySettings
from registry.settings import ClientSettings
from registry.tls import make_context

MAX_DRAINED_BYTES: Final = 64 << 10
_KEEPALIVE_SECONDS: Final = 60.0
_MAX_CAUSES: Final = 10
_HEADERS: Final = {
    "User-Agent": "pyestargz",
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
    """An open response; whoever holds it closes it, by ``aclose`` or ``discard``."""

    def __init__(self, url: str, response: httpx.Response, counters: Counters) -> None:
        self.url = url
        self._response = response
        self._counters = counters
        self._discarded: bytes | None = None

    def __repr__(self) -> str:
        return f"<Response {self.status} from {self.host}>"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    @property
    def host(self) -> str:
        """The host that answered, with its port."""
        return urlsplit(self.url).netloc

    def header(self, name: str) -> str | None:
        """A header's value; several of one name are joined with commas."""
        value: str | None = self._response.headers.get(name)
        return value

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives.

        Raises:
            BadResponseError: it ends early.
            UnreachableError: the network failed, or was silent for too long.
        """
        raw = self._response.aiter_raw()
        try:
            with _mapped_errors(self.url, cut=BadResponseError):
                async for chunk in raw:
                    self._counters.bytes_received += len(chunk)
                    yield chunk
        finally:
            await self._end(raw)

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
        async with contextlib.aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                data += chunk[: max_bytes - len(data)]
                if len(data) >= max_bytes:
                    break
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
                await self.aclose()
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

    async def aclose(self) -> None:
        """Closes the response; the connection too, unless the body was read to its end."""
        await self._response.aclose()

    async def _end(self, raw: AsyncIterator[bytes]) -> None:
        """Ends the library's own iterators, which nest too deep to be closed one by one.

        Going on after the response was closed ends all of them with an error; what is skipped until then had been
        received before.
        """
        await self.aclose()
        with contextlib.suppress(httpx.TransportError, httpx.StreamError):
            async for _ in raw:
                pass


class Transport:
    """Pools of connections, one for each way of connecting; an async context manager."""

    def __init__(self, settings: ClientSettings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._proxies = settings.proxies or ProxySettings.from_environment(os.environ)
        self._clients: dict[tuple[Connection, str, str | None], httpx.AsyncClient] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        # The library logs whole URLs, and signed ones are secrets; its debug lines hold our tokens.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def send(self, request: Request) -> Response:
        """Sends a request and waits for the response's headers.

        Raises:
            TlsFileError: a certificate that the connection needs cannot be used.
            UnreachableError: there was no response.
        """
        with _mapped_errors(request.url, cut=UnreachableError):
            client = await self._client(request)
            built = client.build_request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.content if isinstance(request.content, bytes) else None,
            )
            if isinstance(request.content, bytes):
                self._counters.bytes_sent += len(request.content)
            elif request.content is not None:
                built.stream = _Body(request.content, self._counters)
            self._counters.requests += 1
            response = await client.send(built, stream=True)
        return Response(request.url, response, self._counters)

    async def _client(self, request: Request) -> httpx.AsyncClient:
        scheme = urlsplit(request.url).scheme
        key = request.connection, scheme, self._proxies.proxy_for(request.url)
        client = self._clients.get(key)
        if client is None:
            try:
                client = self._clients[key] = self._make_client(*key)
            except (ValueError, ImportError) as error:  # of a kind the library does not know
                detail = "the proxy that the environment names for it cannot be used"
                host = urlsplit(request.url).netloc
                raise UnreachableError(host, detail=detail, retryable=False) from error
            await self._stack.enter_async_context(client)
        return client

    def _make_client(
        self, connection: Connection, scheme: str, proxy: str | None
    ) -> httpx.AsyncClient:
        settings = self._settings
        return httpx.AsyncClient(
            headers=_HEADERS,
            verify=make_context(connection) if scheme == "https" else False,
            proxy=proxy,
            trust_env=False,
            timeout=httpx.Timeout(
                connection.inactivity_timeout_seconds or settings.inactivity_timeout_seconds,
                connect=connection.connect_timeout_seconds or settings.connect_timeout_seconds,
            ),
            limits=httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=_KEEPALIVE_SECONDS,
            ),
        )


class _Body(httpx.AsyncByteStream):
    """A request's body, counted as it is taken."""

    def __init__(self, start: BodySource, counters: Counters) -> None:
        self._start = start
        self._counters = counters

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Counted(self._start(), self._counters)


class _Counted:
    def __init__(self, pieces: AsyncIterator[bytes], counters: Counters) -> None:
        self._pieces = pieces
        self._counters = counters

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._counters.bytes_sent += len(piece)
        return piece


@contextlib.contextmanager
def _mapped_errors(url: str, *, cut: type[RegistryError]) -> Iterator[None]:
    host = urlsplit(url).netloc
    try:
        yield
    except httpx.RemoteProtocolError as error:
        raise cut(host, url=url, detail=str(error)) from error
    except httpx.TimeoutException as error:
        raise UnreachableError(host, url=url, detail=_describe_timeout(error)) from error
    except httpx.InvalidURL as error:
        raise UnreachableError(host, url=url, detail=str(error), retryable=False) from error
    except httpx.TransportError as error:
        raise _unreachable(host, url, error) from error


def _unreachable(host: str, url: str, error: httpx.TransportError) -> UnreachableError:
    causes = list(_causes(error))
    detail = next((str(cause) for cause in reversed(causes) if str(cause)), type(error).__name__)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return UntrustedError(host, url=url, detail=detail)
    return UnreachableError(host, url=url, detail=detail)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, the last one being the nearest to the network; of several causes the first."""
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None
        error = first or error.__cause__ or error.__context__


def _describe_timeout(error: httpx.TimeoutException) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "connecting took too long"
        case httpx.PoolTimeout():
            return "all connections stayed busy for too long"
        case _:
            return "the connection was silent for too long"
