"""The registry's side of the emulated network: an HTTP proxy that delays, throttles, counts, and may ask for tokens.

It listens on two addresses. The first is the registry; when the profile redirects, it sends those who want a blob to the second,
the storage, as a content delivery network would be: that one refuses requests that carry a token, as
signed URLs do. The whole round-trip time is added on the way back: for the client that is the same, and
one timer is late less often than two.
"""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus

import h11
import trio

from benchmarks.network_link import Link, NetworkProfile
from benchmarks.network_log import Request, RequestKind, Traffic

_QUEUED_PIECES = 1024  # in flight on one connection
_MAX_HEAD_BYTES = 64 << 10
_STORAGE = "/storage"
_HOSTS = (
    "127.0.0.1",
    "127.0.0.2",
)  # clients that keep a token on the same host would show it to the storage
Headers = list[tuple[bytes, bytes]]


class Channel:
    """One end of an HTTP connection: events in, events out."""

    def __init__(self, stream: trio.SocketStream, role: type[h11.CLIENT | h11.SERVER]) -> None:
        self.stream = stream
        self.http = h11.Connection(role, max_incomplete_event_size=_MAX_HEAD_BYTES)

    async def next_event(self, max_bytes: int) -> h11.Event | type[h11.PAUSED]:
        """The next event; data events hold at most ``max_bytes``."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self.stream.send_all(self.http.send(go_on) or b"")
            self.http.receive_data(await self.stream.receive_some(max_bytes))
        assert not isinstance(event, type) or event is h11.PAUSED  # noqa: S101 - tells mypy
        return event

    async def body(self, max_bytes: int) -> AsyncIterator[h11.Data | h11.EndOfMessage]:
        """The rest of the message, its end included."""
        while True:
            event = await self.next_event(max_bytes)
            if isinstance(event, h11.Data | h11.EndOfMessage):
                yield event
            if not isinstance(event, h11.Data):
                return


@dataclass
class EmulatedRegistry:
    """Forwards to a registry what the profile lets through, and remembers it."""

    target: tuple[str, int]
    profile: NetworkProfile
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    registry_host: str = ""
    storage_host: str = ""

    def __post_init__(self) -> None:
        self.up = Link(self.profile.bytes_per_second)
        self.down = Link(self.profile.bytes_per_second)
        self.token = secrets.token_hex(8)

    def traffic(self) -> Traffic:
        """What passed so far."""
        return Traffic(
            self.connections, self.up.bytes_carried, self.down.bytes_carried, tuple(self.requests)
        )

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens until cancelled; started when it does, with the registry's ``host:port``."""
        registry, storage = [await trio.open_tcp_listeners(0, host=host) for host in _HOSTS]
        self.registry_host, self.storage_host = [
            f"{host}:{listeners[0].socket.getsockname()[1]}"
            for host, listeners in zip(_HOSTS, (registry, storage), strict=True)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._connected, registry + storage)
            task_status.started(self.registry_host)

    async def _connected(self, client: trio.SocketStream) -> None:
        self.connections += 1
        await trio.sleep(self.profile.setup_round_trips * self.profile.rtt_seconds)
        try:
            async with await trio.open_tcp_stream(*self.target) as server, client:
                await Connection(self, self.connections, client, server).run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, OSError):
            pass  # either end may hang up when it likes


@dataclass
class _Passed:
    """What is known of an answer while it passes; times on ``time.monotonic``."""

    status: int = 0
    body_bytes: int = 0
    first_byte: float = 0.0
    ended: float = 0.0

    def add(self, event: h11.Event, arrival: float) -> None:
        self.first_byte = self.first_byte or arrival
        self.ended = arrival
        if isinstance(event, h11.Response):
            self.status = event.status_code
        elif isinstance(event, h11.Data):
            self.body_bytes += len(event.data)


class Connection:
    """One client's connection, and the one behind it."""

    def __init__(
        self,
        registry: EmulatedRegistry,
        number: int,
        client: trio.SocketStream,
        server: trio.SocketStream,
    ) -> None:
        self._registry = registry
        self._number = number
        self._client = Channel(client, h11.SERVER)
        self._server = Channel(server, h11.CLIENT)
        self._is_storage = client.socket.getsockname()[0] == _HOSTS[1]

    async def run(self) -> None:
        """Answers until one end hangs up."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](_QUEUED_PIECES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, receive)
            async with send:
                while isinstance(
                    request := await self._client.next_event(self._registry.up.piece_bytes),
                    h11.Request,
                ):
                    await self._exchange(request, send)
                    if self._client.http.our_state is not h11.DONE:
                        break
                    self._client.http.start_next_cycle()
                    if self._server.http.our_state is not h11.IDLE:
                        self._server.http.start_next_cycle()

    async def _deliver(self, pieces: trio.MemoryReceiveChannel[tuple[float, bytes]]) -> None:
        """Hands the client what has arrived, when it has."""
        async for arrival, data in pieces:
            await trio.sleep_until(arrival)
            await self._client.stream.send_all(data)
        await self._client.stream.send_eof()

    async def _exchange(
        self, request: h11.Request, send: trio.MemorySendChannel[tuple[float, bytes]]
    ) -> None:
        """One request and its answer."""
        began = time.monotonic()
        answer = self._own_answer(request)
        if answer is None:
            kind = _kind_of(request.target)
            events = self._forward(request)
        else:
            kind, response, body = answer
            events = self._answer(response, body)
        passed = _Passed()
        async for event in events:
            arrival = await self._send(self._client.http.send(event) or b"", send)
            passed.add(event, arrival)
        headers = dict(request.headers)
        self._registry.requests.append(
            Request(
                connection=self._number,
                kind=kind,
                method=request.method.decode(),
                path=request.target.decode(),
                status=passed.status,
                range=headers.get(b"range", b"").decode(),
                user_agent=headers.get(b"user-agent", b"").decode(),
                began=began,
                first_byte=passed.first_byte,
                ended=passed.ended,
                body_bytes=passed.body_bytes,
            )
        )

    async def _send(self, data: bytes, send: trio.MemorySendChannel[tuple[float, bytes]]) -> float:
        """Puts data on the wire; the time when it arrives, on ``time.monotonic``."""
        if data:
            await self._registry.down.carry(len(data))
            arrival = trio.current_time() + self._registry.profile.rtt_seconds
            await send.send((arrival, data))
        return time.monotonic() + self._registry.profile.rtt_seconds

    async def _forward(self, request: h11.Request) -> AsyncIterator[h11.Event]:
        """The registry's own answer."""
        headers = [(name, value) for name, value in request.headers if name != b"authorization"]
        path = request.target.removeprefix(_STORAGE.encode())
        forwarded = h11.Request(method=request.method, target=path, headers=headers)
        await self._server.stream.send_all(self._server.http.send(forwarded) or b"")
        async for part in self._client.body(self._registry.up.piece_bytes):
            data = self._server.http.send(part) or b""
            await self._registry.up.carry(len(data))
            await self._server.stream.send_all(data)
        head = await self._server.next_event(self._registry.down.piece_bytes)
        while isinstance(head, h11.InformationalResponse):
            head = await self._server.next_event(self._registry.down.piece_bytes)
        if not isinstance(head, h11.Response):
            raise trio.BrokenResourceError("the registry hung up")
        yield h11.Response(
            status_code=head.status_code, headers=head.headers.raw_items(), reason=head.reason
        )
        async for event in self._server.body(self._registry.down.piece_bytes):
            yield event

    async def _answer(self, response: h11.Response, body: bytes) -> AsyncIterator[h11.Event]:
        """An answer that the network gives itself."""
        async for _ in self._client.body(self._registry.up.piece_bytes):
            pass
        yield response
        if body:
            yield h11.Data(data=body)
        yield h11.EndOfMessage()

    def _own_answer(self, request: h11.Request) -> tuple[RequestKind, h11.Response, bytes] | None:
        """What the network answers itself, if the registry is not to be asked."""
        profile, headers = self._registry.profile, dict(request.headers)
        path, authorization = request.target.decode(), headers.get(b"authorization")
        if self._is_storage:
            if authorization or "signature=" not in path:
                return RequestKind.REFUSED, *_reply(HTTPStatus.BAD_REQUEST)
            return None
        if path.startswith("/token"):
            body = f'{{"token": "{self._registry.token}", "expires_in": 3600}}'.encode()
            return RequestKind.TOKEN, *_reply(HTTPStatus.OK, [], body)
        if profile.token_auth and authorization != f"Bearer {self._registry.token}".encode():
            challenge = (
                f'Bearer realm="http://{self._registry.registry_host}/token",'
                f'service="emulated",scope="repository:{_repository(path)}:pull,push"'
            )
            extra = [(b"WWW-Authenticate", challenge.encode())]
            return RequestKind.REFUSED, *_reply(HTTPStatus.UNAUTHORIZED, extra)
        if profile.redirects and request.method == b"GET" and "/blobs/sha256:" in path:
            url = f"http://{self._registry.storage_host}{_STORAGE}{path}?signature=0"
            extra = [(b"Location", url.encode())]
            return RequestKind.REDIRECT, *_reply(HTTPStatus.TEMPORARY_REDIRECT, extra)
        return None


def _reply(
    status: HTTPStatus, extra: Headers | None = None, body: bytes = b""
) -> tuple[h11.Response, bytes]:
    headers = [
        (b"Content-Length", str(len(body)).encode()),
        (b"Content-Type", b"application/json"),
        *(extra or []),
    ]
    return h11.Response(status_code=int(status), headers=headers, reason=status.phrase), body


def _kind_of(target: bytes) -> RequestKind:
    if b"/blobs/sha256:" in target:
        return RequestKind.BLOB
    return RequestKind.MANIFEST if b"/manifests/" in target else RequestKind.OTHER


def _repository(path: str) -> str:
    name = path.removeprefix("/v2/")
    for separator in ("/blobs/", "/manifests/", "/tags/", "/referrers/"):
        name = name.partition(separator)[0]
    return name
