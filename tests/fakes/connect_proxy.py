"""A forward proxy, as companies have them: CONNECT for TLS, whole URLs for plain HTTP. Every name leads to this machine."""

import base64
import http.client
import select
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.served import Served

_IDLE_SECONDS = 20


class ConnectProxy(Served):
    """A proxy on loopback; a context manager.

    Args:
        user: ``name:password`` of who may use it; everybody may by default.
    """

    def __init__(self, user: str = "") -> None:
        self._server = _Server(user)
        super().__init__(self._server, "connect proxy")

    @property
    def asked(self) -> list[str]:
        """Method and target of each request so far: ``CONNECT host:port``, or ``GET http://host:port/path``."""
        return list(self._server.asked)

    @property
    def seen(self) -> set[str]:
        """The names of all headers that the proxy itself could read."""
        return set(self._server.seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, user: str) -> None:
        encoded = base64.b64encode(user.encode()).decode()
        self.wanted = f"Basic {encoded}" if user else None
        self.asked: list[str] = []
        self.seen: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        if not self._is_welcome():
            return
        port = int(self.path.rpartition(":")[2])
        try:
            upstream = socket.create_connection(("127.0.0.1", port), timeout=_IDLE_SECONDS)
        except OSError:
            self._answer(502, b"")
            return
        with upstream:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            _pump(self.connection, upstream)
        self.close_connection = True

    def do_GET(self) -> None:
        if not self._is_welcome():
            return
        url = urlsplit(self.path)
        upstream = http.client.HTTPConnection("127.0.0.1", url.port or 80, timeout=_IDLE_SECONDS)
        path = f"{url.path}?{url.query}" if url.query else url.path
        headers = {
            name: value for name, value in self.headers.items() if name != "Proxy-Authorization"
        }
        upstream.request(self.command, path, headers=headers)
        response = upstream.getresponse()
        body = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _is_welcome(self) -> bool:
        assert isinstance(self.server, _Server)
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.seen.update(self.headers.keys())
        if self.server.wanted in {None, self.headers.get("Proxy-Authorization")}:
            return True
        self._answer(407, b"who are you?")
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Carries bytes both ways until either side has nothing more to say."""
    peers = {one: other, other: one}
    while readable := select.select(list(peers), [], [], _IDLE_SECONDS)[0]:
        for source in readable:
            data = source.recv(1 << 16)
            if not data:
                return
            peers[source].sendall(data)
