"""A registry whose blobs are elsewhere: behind signed URLs that live for a moment, as clouds have it.

In front is a proxy that forwards everything to a real registry, but redirects those who want a blob; behind, nginx serves the
registry's own files to who has a signature (``secure_link``). It knows no HEAD, and refuses whoever shows it a credential.
"""

import base64
import contextlib
import hashlib
import http.client
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.nginx import Nginx
from tests.real_registry import RealRegistry
from tests.served import Served

_SECRET = "for tests"
_SERVER = """
    location / {{
        root {root};
        secure_link $arg_signature,$arg_expires;
        secure_link_md5 "$secure_link_expires$uri {secret}";
        if ($http_authorization) {{ return 400; }}
        if ($request_method = HEAD) {{ return 403; }}
        if ($secure_link != "1") {{ return 403; }}
        {also}
    }}
"""
_HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive"}


class SignedStorage:
    """Both servers; a context manager.

    Args:
        registry: the registry, running.
        directory: where nginx keeps its files.
        lifetime_seconds: how long URLs are good.
        ignores_ranges: whether the storage sends everything to who wants a range.
    """

    def __init__(
        self,
        registry: RealRegistry,
        directory: Path,
        *,
        lifetime_seconds: int = 30,
        ignores_ranges: bool = False,
    ) -> None:
        root = registry.storage / "docker/registry/v2/blobs"
        also = "max_ranges 0;" if ignores_ranges else ""
        server = _SERVER.format(root=root, secret=_SECRET, also=also)
        self._storage = Nginx(directory, server)
        self._front = Served(
            _Front(registry.host, self._storage.host, lifetime_seconds), "signing registry"
        )
        self._exit = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"<SignedStorage {self.host}>"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            started.enter_context(self._storage)
            started.enter_context(self._front)
            self._exit = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def host(self) -> str:
        """host:port of the registry in front."""
        return self._front.host

    def storage_requests(self) -> list[str]:
        """What nginx was asked; see ``Nginx.requests``."""
        return self._storage.requests()

    def front_requests(self) -> list[tuple[str, str, int]]:
        """What the registry in front was asked: method, path and status."""
        assert isinstance(self._front.server, _Front)
        return list(self._front.server.requests)


class _Front(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, storage: str, lifetime_seconds: int) -> None:
        self.upstream = upstream
        self.lifetime_seconds = lifetime_seconds
        self.storage = storage
        self.requests: list[tuple[str, str, int]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 30
    disable_nagle_algorithm: ClassVar[bool] = True

    def do_GET(self) -> None:
        self._forward()

    do_HEAD = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _forward(self) -> None:
        assert isinstance(self.server, _Front)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            # Whether it may be had is the registry's to say; whether it is there, too.
            wants_blob = self.command == "GET" and "/blobs/sha256:" in self.path
            method = "HEAD" if wants_blob else self.command
            connection.request(method, self.path, body or None, dict(self.headers.items()))
            answer = connection.getresponse()
            if wants_blob and answer.status in {200, 206}:
                self._redirect(self.path.rpartition(":")[2])
            else:
                self._answer(answer, answer.read())
        finally:
            connection.close()

    def _redirect(self, hexadecimal: str) -> None:
        assert isinstance(self.server, _Front)
        path = f"/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
        expires = int(time.time()) + self.server.lifetime_seconds
        digest = hashlib.md5(f"{expires}{path} {_SECRET}".encode()).digest()
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        self._note(307)
        self.send_response(307)
        location = f"http://{self.server.storage}{path}?signature={signature}&expires={expires}"
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self._note(answer.status)
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in _HOP_HEADERS | {"content-length"}:
                self.send_header(key, value.replace(self._upstream, self.headers["Host"]))
        size = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
        if size is not None and answer.status != 204:
            self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(body)

    @property
    def _upstream(self) -> str:
        assert isinstance(self.server, _Front)
        return self.server.upstream

    def _note(self, status: int) -> None:
        assert isinstance(self.server, _Front)
        self.server.requests.append((self.command, self.path, status))
