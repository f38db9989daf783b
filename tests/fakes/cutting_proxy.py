"""A TCP proxy that cuts one connection in the middle of what the client sends."""

import contextlib
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

_PIECE_BYTES = 64 << 10


class CuttingProxy:
    """A proxy on loopback; a context manager.

    Args:
        upstream: host:port of the server.
        after_bytes: the first connection by which a client sends more than that ends there.
    """

    def __init__(self, upstream: str, *, after_bytes: int) -> None:
        self._server = _Server(upstream, after_bytes)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="cutting proxy"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        """host:port of the proxy."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def has_cut(self) -> bool:
        """Whether it has."""
        return self._server.has_cut.is_set()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, upstream: str, after_bytes: int) -> None:
        host, _, port = upstream.rpartition(":")
        self.upstream = (host, int(port))
        self.after_bytes = after_bytes
        self.has_cut = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        with socket.create_connection(self._proxy.upstream, timeout=30) as upstream:
            back = threading.Thread(target=self._carry_back, args=(upstream,))
            back.start()
            with contextlib.suppress(OSError):
                self._carry_there(upstream)
            for end in (upstream, self.request):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    @property
    def _proxy(self) -> _Server:
        assert isinstance(self.server, _Server)
        return self.server

    def _carry_there(self, upstream: socket.socket) -> None:
        sent = 0
        while piece := self.request.recv(_PIECE_BYTES):
            upstream.sendall(piece)
            sent += len(piece)
            if sent > self._proxy.after_bytes and not self._proxy.has_cut.is_set():
                self._proxy.has_cut.set()
                return

    def _carry_back(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := upstream.recv(_PIECE_BYTES):
                self.request.sendall(piece)
            self.request.shutdown(socket.SHUT_WR)
