"""A small HTTP server for what watches a daemon: Prometheus, a probe, a person with curl."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import urlsplit

from snapshotter.config import TcpAddress
from snapshotter.errors import StartupError

_log = logging.getLogger(__name__)
_REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    content: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


Pages = Mapping[str, Callable[[], Page]]


@contextmanager
def serving_tcp(address: TcpAddress, pages: Pages) -> Iterator[TcpAddress]:
    """Serves pages by path on a TCP port; gives where it listens.

    Raises:
        StartupError: it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = type("Server", (ThreadingHTTPServer,), {"address_family": family})
    try:
        server = kind((address.host, address.port), _handler(pages))
    except OSError as error:
        raise StartupError(f"cannot listen on {address}", error.strerror or str(error)) from error
    with _running(server):
        yield TcpAddress(address.host, server.server_address[1])


@contextmanager
def serving_unix(path: Path, pages: Pages) -> Iterator[None]:
    """Serves pages by path on a unix socket that only its owner may open.

    Raises:
        StartupError: it cannot listen there.
    """

    class Server(ThreadingMixIn, UnixStreamServer):
        daemon_threads = True

    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        server = Server(str(path), _handler(pages))
    except OSError as error:
        raise StartupError(f"cannot listen on {path}", error.strerror or str(error)) from error
    finally:
        os.umask(mask)
    with _running(server):
        yield
    path.unlink(missing_ok=True)


@contextmanager
def _running(server: "ThreadingHTTPServer | UnixStreamServer") -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, name="http")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS  # type: ignore[mutable-override]  # it never changes

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            page = pages[path]() if path in pages else _not_found(pages)
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.content)))
            self.end_headers()
            self.wfile.write(page.content)

        def address_string(self) -> str:
            return str(self.client_address)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its base names it so
            _log.debug("http request", extra={"fields": {"request": format % arguments}})

    return Handler


def _not_found(pages: Pages) -> Page:
    known = "".join(f"{path}\n" for path in pages)
    return Page(f"There are:\n{known}".encode(), status=HTTPStatus.NOT_FOUND)
