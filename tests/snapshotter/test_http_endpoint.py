"""Pages over TCP and over a unix socket."""

import http.client
import socket
import tempfile
from pathlib import Path

import pytest

from snapshotter.config import TcpAddress
from snapshotter.errors import StartupError
from snapshotter.http_endpoint import Page, serving_tcp, serving_unix

PAGES = {"/page": lambda: Page(b"content\n"), "/other": lambda: Page(b"{}", "application/json")}


def get_tcp(address: TcpAddress, path: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def get_unix(path: Path, page: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_over_tcp(host: str) -> None:
    with serving_tcp(TcpAddress(host, 0), PAGES) as address:
        assert get_tcp(address, "/page?x=1") == (200, "text/plain; charset=utf-8", b"content\n")
        assert get_tcp(address, "/other")[1] == "application/json"
        status, _, content = get_tcp(address, "/missing")
        assert (status, content) == (404, b"There are:\n/page\n/other\n")
        with (
            pytest.raises(StartupError, match=f"cannot listen on .*{address.port}"),
            serving_tcp(address, PAGES),
        ):
            pass
    with pytest.raises(ConnectionRefusedError):
        get_tcp(address, "/page")


def test_over_a_unix_socket_for_its_owner_only() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "debug.sock"
        path.write_text("a former life")
        with serving_unix(path, PAGES):
            assert path.stat().st_mode & 0o777 == 0o600
            assert get_unix(path, "/page").endswith(b"\r\n\r\ncontent\n")
        assert not path.exists()
        with pytest.raises(StartupError), serving_unix(Path(name) / "no" / "where", PAGES):
            pass
