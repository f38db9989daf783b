"""An HTTP proxy in front of a real registry that spoils blob content, but only while it is asked to."""

import enum
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.served import Served

_HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length"}
_FLIP_EVERY_BYTES = 1024
_HELD_SECONDS = 60
_STATE_LOCK = threading.Lock()


class Fault(enum.Enum):
    """What is done to the answers of blob requests."""

    NONE = enum.auto()
    FLIPPED_BYTES = enum.auto()  # one wrong byte in each kibibyte: no read can miss all of them
    TRUNCATED = enum.auto()  # half of the body, then the connection is closed
    REFUSED = enum.auto()  # the connection is closed without an answer
    HELD = enum.auto()  # no answer until another fault, or none, is chosen


class FaultyProxy(Served):
    """A proxy on loopback; a context manager. `fault` may be set at any time, from any thread.

    Args:
        upstream: host:port of the registry.
    """

    def __init__(self, upstream: str) -> None:
        self._server = _Server(upstream)
        super().__init__(self._server, "faulty proxy")

    @property
    def faults_served(self) -> int:
        """How many answers were spoiled so far."""
        return self._server.faults_served

    def set_fault(self, fault: Fault) -> None:
        """Choose what happens to blob content from now on."""
        if fault is Fault.HELD:
            self._server.held.clear()
            self._server.released.clear()
        self._server.fault = fault
        if fault is not Fault.HELD:
            self._server.released.set()

    def wait_held(self, *, deadline_seconds: float = 20) -> None:
        """Return as soon as a request is held."""
        assert self._server.held.wait(deadline_seconds)


class _Server(ThreadingHTTPServer):
    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.fault = Fault.NONE
        self.faults_served = 0
        self.held = threading.Event()
        self.released = threading.Event()

    def count_fault(self) -> None:
        with _STATE_LOCK:
            self.faults_served += 1

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 30

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is inherited
        """The registry behind keeps the log."""

    @property
    def _proxy(self) -> _Server:
        assert isinstance(self.server, _Server)
        return self.server

    def _forward(self) -> None:
        is_blob = self.command == "GET" and "/blobs/" in self.path
        fault = self._proxy.fault if is_blob else Fault.NONE
        if fault is Fault.REFUSED:
            self._proxy.count_fault()
            self.close_connection = True
            return
        if fault is Fault.HELD:
            self._proxy.count_fault()
            self._proxy.held.set()
            self._proxy.released.wait(_HELD_SECONDS)
            fault = Fault.NONE
        connection = http.client.HTTPConnection(self._proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            self._answer(answer, answer.read(), fault)
        finally:
            connection.close()

    def _answer(self, answer: http.client.HTTPResponse, body: bytes, fault: Fault) -> None:
        size = answer.headers["Content-Length"] if self.command == "HEAD" else str(len(body))
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in _HOP_HEADERS:
                self.send_header(key, value)
        self.send_header("Content-Length", size)
        self.end_headers()
        if fault is not Fault.NONE:
            self._proxy.count_fault()
        self.wfile.write(_spoil(body, fault))
        self.close_connection = self.close_connection or fault is Fault.TRUNCATED


def _spoil(body: bytes, fault: Fault) -> bytes:
    match fault:
        case Fault.FLIPPED_BYTES:
            spoiled = bytearray(body)
            spoiled[::_FLIP_EVERY_BYTES] = (byte ^ 1 for byte in body[::_FLIP_EVERY_BYTES])
            return bytes(spoiled)
        case Fault.TRUNCATED:
            return body[: len(body) // 2]
        case _:
            return body
