"""What is served about a daemon: metrics and health where everybody may look, the rest on a socket."""

import json
import tempfile
from pathlib import Path

from snapshotter.config import ServeSettings, TcpAddress
from snapshotter.errors import FsServerError
from snapshotter.layer_server import FsStatus
from snapshotter.metrics import DaemonMetrics
from snapshotter.watching import watched
from tests.snapshotter.test_http_endpoint import get_tcp, get_unix


class Server:
    """An fs server that can be away."""

    def __init__(self) -> None:
        self.is_up = True

    def status(self) -> FsStatus:
        if not self.is_up:
            raise FsServerError("it is away")
        return FsStatus()


def test_all_pages(unused_port: int) -> None:
    server = Server()
    metrics = DaemonMetrics(server.status, dict)
    with tempfile.TemporaryDirectory() as name:
        debug, address = Path(name) / "debug.sock", TcpAddress("127.0.0.1", unused_port)
        settings = ServeSettings(metrics_address=address, debug_address=debug)
        with watched(settings, metrics, server.status, lambda: {"path": debug}):
            assert get_tcp(address, "/healthz")[::2] == (200, b"ok, 0 layers\n")
            assert b"pyestargz_fs_server_up 1.0" in get_tcp(address, "/metrics")[2]
            assert get_tcp(address, "/debug/vars")[0] == 404
            variables = get_unix(debug, "/debug/vars").partition(b"\r\n\r\n")[2]
            assert json.loads(variables) == {"path": str(debug)}
            assert b"MainThread" in get_unix(debug, "/debug/stacks")
            server.is_up = False
            assert get_tcp(address, "/healthz")[::2] == (503, b"fs server: it is away\n")
            assert b"pyestargz_fs_server_up 0.0" in get_unix(debug, "/metrics")


def test_nothing_is_served_unasked() -> None:
    server = Server()
    with watched(ServeSettings(), DaemonMetrics(server.status, dict), server.status, dict):
        pass
