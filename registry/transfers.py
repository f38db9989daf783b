"""All HTTP transfers of a client: made by libcurl, waited for by trio.

They share one libcurl multi handle, and so its connections. libcurl says for which sockets and until when it wants to wait. One
task does that for it (the sockets are in an epoll set of their own, so that one wait covers all of them), lets libcurl go on,
and that wakes the tasks whose transfers got somewhere. Nothing here blocks; the only threads are libcurl's own, which look up names.
"""

import contextlib
import math
import select
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pycurl
import trio

from registry.counters import Counters
from registry.tls import TlsFiles
from registry.transfer import (
    SILENCE_CHECKS,
    Problem,
    Transfer,
    TransferError,
    describe_failure,
)

_RECEIVE_BYTES: Final = 256 << 10
_SEND_BYTES: Final = 1 << 20
_KEEPALIVE_SECONDS: Final = 60
_PROBE_SECONDS: Final = 30
_MAX_IDLE_HANDLES: Final = 32
_MAX_IDLE_ROUTES: Final = 64
_SUPPRESS_CONNECT_HEADERS: Final = 265  # libcurl's CURLOPT_ of that name; pycurl has no name for it

_EPOLL_EVENTS: Final = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is connected to. Transfers with equal routes may share connections.

    Attributes:
        tls: certificates.
        verify: whether the server must prove who it is.
        proxy: the URL of a proxy to go through; may hold a password.
        connect_to: the host and port to go to, if others than those of the URL.
        connect_timeout_seconds: for names, TCP and TLS.
        silence_seconds: how long the connection may be silent.
    """

    tls: TlsFiles = field(default_factory=TlsFiles)
    verify: bool = True
    proxy: str = field(default="", repr=False)
    connect_to: str = ""
    connect_timeout_seconds: float = 10.0
    silence_seconds: float = 30.0


class Transfers:
    """Transfers and their connections; an async context manager."""

    def __init__(self, *, max_connections: int, counters: Counters) -> None:
        self._counters = counters
        self._max_connections = max_connections
        self._multi = pycurl.CurlMulti()
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._machine = ssl.get_default_verify_paths()
        # Handles that were set up for GET by a route: that takes longer than sending the request.
        self._idle: dict[Route, list[pycurl.Curl]] = {}
        self._running: dict[pycurl.Curl, Transfer] = {}
        self._wake_at = math.inf
        self._check_at = math.inf
        self._waiting: trio.CancelScope | None = None
        self._exit = contextlib.AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Transfers {len(self._running)} under way, {len(self._watched)} sockets watched>"

    async def __aenter__(self) -> Self:
        self._multi.setopt(pycurl.M_MAXCONNECTS, self._max_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._nursery = await self._exit.enter_async_context(trio.open_nursery())
        self._nursery.start_soon(self._drive)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Ending waits for nothing, and must not put its own cancellation, or a group, in the place of what ended us.
        self._nursery.cancel_scope.shield = True
        self._nursery.cancel_scope.cancel()
        try:
            await self._exit.aclose()
        finally:
            for transfer in list(self._running.values()):
                transfer.close()
            for idle in self._idle.values():
                for easy in idle:
                    easy.close()
            self._multi.close()
            self._epoll.close()

    def start(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        route: Route,
        *,
        body_bytes: int | None = None,
    ) -> Transfer:
        """Starts a request; ``body_bytes`` says how long the body is that ``Transfer.send`` will send, None that there is none."""
        is_plain = method == "GET" and body_bytes is None
        if is_plain and self._idle.get(route):
            easy = self._idle[route].pop()
        else:
            easy = pycurl.Curl()
            _set_route(easy, route, self._machine)
        end: Callable[[pycurl.Curl], None] = partial(self._end_for_reuse, route)
        if not is_plain:
            end = self._end
            _set_method(easy, method, body_bytes)
        transfer = Transfer(easy, end, silence_seconds=route.silence_seconds)
        easy.setopt(pycurl.URL, url)
        # Without a value libcurl would leave a header out, and it would ask before it sends a body.
        lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
        easy.setopt(pycurl.HTTPHEADER, [*lines, "Expect:"])
        easy.setopt(pycurl.HEADERFUNCTION, transfer.on_header)
        easy.setopt(pycurl.WRITEFUNCTION, transfer.on_body)
        easy.setopt(pycurl.READFUNCTION, transfer.on_send)
        self._check_by(trio.current_time() + route.silence_seconds / SILENCE_CHECKS)
        self._running[easy] = transfer
        self._multi.add_handle(easy)
        # Over an open connection, that sends the request at once.
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        return transfer

    def _end(self, easy: pycurl.Curl) -> None:
        self._detach(easy)
        easy.close()

    def _end_for_reuse(self, route: Route, easy: pycurl.Curl) -> None:
        self._detach(easy)
        if route not in self._idle and len(self._idle) >= _MAX_IDLE_ROUTES:
            for forgotten in self._idle.pop(next(iter(self._idle))):
                forgotten.close()
        idle = self._idle.setdefault(route, [])
        if len(idle) < _MAX_IDLE_HANDLES:
            idle.append(easy)
        else:
            easy.close()

    def _detach(self, easy: pycurl.Curl) -> None:
        self._multi.remove_handle(easy)
        self._counters.connections += easy.getinfo(pycurl.NUM_CONNECTS)
        del self._running[easy]

    async def _drive(self) -> None:
        try:
            while True:
                await self._wait()
                self._act()
                self._collect()
        finally:
            for transfer in self._running.values():
                transfer.finish(TransferError(Problem.UNREACHABLE, "the client was closed"))

    async def _wait(self) -> None:
        """Waits for what libcurl waits for."""
        with trio.CancelScope(deadline=min(self._wake_at, self._check_at)) as self._waiting:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        self._waiting = None

    def _act(self) -> None:
        """Lets libcurl go on where it can."""
        now = trio.current_time()
        if now >= self._wake_at:
            self._wake_at = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        for fd, events in self._epoll.poll(0):
            if fd not in self._watched:
                continue  # what was done for another socket has closed it
            ready = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
            ready |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            ready |= pycurl.CSELECT_ERR if events & select.EPOLLERR else 0
            self._multi.socket_action(fd, ready)
        if now >= self._check_at:
            self._check_silence(now)

    def _check_silence(self, now: float) -> None:
        self._check_at = math.inf
        for transfer in self._running.values():
            transfer.check_silence()
            self._check_by(now + transfer.silence_seconds / SILENCE_CHECKS)

    def _check_by(self, moment: float) -> None:
        if moment < self._check_at:
            self._check_at = moment
            if self._waiting is not None:
                self._waiting.deadline = min(self._wake_at, moment)

    def _collect(self) -> None:
        """Notes which transfers have ended."""
        more = 1
        while more:
            more, done, failed = self._multi.info_read()
            for easy in done:
                self._running[easy].finish(None)
            for easy, number, reason in failed:
                self._running[easy].finish(describe_failure(easy, number, reason))

    def _watch(self, wanted: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """For libcurl: which socket it waits for, and for what."""
        if wanted == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            with contextlib.suppress(OSError):  # it may be closed already, and then is in no set
                self._epoll.unregister(fd)
            return
        events = _EPOLL_EVENTS[wanted]
        try:
            if fd in self._watched:
                self._epoll.modify(fd, events)
                return
        except FileNotFoundError:
            pass  # another socket of the same number
        self._watched.add(fd)
        self._epoll.register(fd, events)

    def _set_timer(self, milliseconds: int) -> None:
        """For libcurl: until when it waits; negative: for sockets alone."""
        wait = math.inf if milliseconds < 0 else milliseconds / 1000
        self._wake_at = trio.current_time() + wait
        if self._waiting is not None:
            self._waiting.deadline = min(self._wake_at, self._check_at)


def _set_method(easy: pycurl.Curl, method: str, body_bytes: int | None) -> None:
    easy.setopt(pycurl.CUSTOMREQUEST, method)
    easy.setopt(pycurl.NOBODY, int(method == "HEAD"))
    if body_bytes is not None:
        easy.setopt(pycurl.UPLOAD, 1)
        easy.setopt(pycurl.INFILESIZE_LARGE, body_bytes)
        easy.setopt(pycurl.UPLOAD_BUFFERSIZE, _SEND_BYTES)


def _set_route(easy: pycurl.Curl, route: Route, machine: ssl.DefaultVerifyPaths) -> None:
    """Sets up a handle for GET."""
    # HTTP/2 is no faster for ranges, and its one connection recovers from lost packets more slowly than several: docs/design.md.
    easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    easy.setopt(pycurl.PATH_AS_IS, 1)
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.BUFFERSIZE, _RECEIVE_BYTES)
    easy.setopt(pycurl.MAXAGE_CONN, _KEEPALIVE_SECONDS)
    easy.setopt(pycurl.CONNECTTIMEOUT_MS, math.ceil(1000 * route.connect_timeout_seconds))
    easy.setopt(pycurl.PROXY, route.proxy)  # an empty one: none, whatever the environment says
    easy.setopt(pycurl.NOPROXY, "")  # idem
    easy.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
    if route.connect_to:
        easy.setopt(pycurl.CONNECT_TO, [f"::{route.connect_to}"])
    # A peer that is gone without a word is noticed also by who waits for long, and knows that.
    easy.setopt(pycurl.TCP_KEEPALIVE, 1)
    easy.setopt(pycurl.TCP_KEEPIDLE, _PROBE_SECONDS)
    easy.setopt(pycurl.TCP_KEEPINTVL, _PROBE_SECONDS)
    _set_tls(easy, route, machine)


def _set_tls(easy: pycurl.Curl, route: Route, machine: ssl.DefaultVerifyPaths) -> None:
    easy.setopt(pycurl.SSL_VERIFYPEER, int(route.verify))
    easy.setopt(pycurl.SSL_VERIFYHOST, 2 if route.verify else 0)
    # The library's own places for authorities are those of the machine it was built on.
    for path, file in (
        (pycurl.CAPATH, pycurl.CAINFO),
        (pycurl.PROXY_CAPATH, pycurl.PROXY_CAINFO),
    ):
        easy.unsetopt(file)
        if not route.tls.trusts_machine:
            easy.unsetopt(path)
            continue
        if machine.capath:
            easy.setopt(path, machine.capath)
        if machine.cafile:
            easy.setopt(file, machine.cafile)
    if route.tls.authorities:
        with_own = machine.cafile and route.tls.trusts_machine
        own = Path(machine.cafile).read_bytes() + b"\n" if with_own else b""
        easy.setopt(pycurl.CAINFO_BLOB, own + route.tls.authorities)
    if route.tls.certificate is not None:
        _show(easy, pycurl.SSLCERT, pycurl.SSLCERT_BLOB, route.tls.certificate)
        _show(easy, pycurl.SSLKEY, pycurl.SSLKEY_BLOB, route.tls.key)
        easy.setopt(pycurl.KEYPASSWD, "")  # an encrypted key is an error, and nothing to ask for


def _show(easy: pycurl.Curl, file: int, content: int, pem: Path | bytes | None) -> None:
    if isinstance(pem, bytes):
        easy.setopt(content, pem)
    else:
        easy.setopt(file, str(pem))
