"""A real web server: Debian's nginx, on loopback, with a configuration of the test's own."""

import contextlib
import http.client
import socket
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.logged_process import LoggedProcess

_REQUEST = "request: "
_MAIN = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {directory}/temp;
    proxy_temp_path {directory}/temp;
    fastcgi_temp_path {directory}/temp;
    uwsgi_temp_path {directory}/temp;
    scgi_temp_path {directory}/temp;
    log_format request 'request: $status $request_method $uri "$http_range" "$http_authorization"';
    access_log /dev/stdout request;
    keepalive_requests 1000000;
    sendfile on;
    server {{
        listen {address}{options};
        {server}
    }}
}}
"""


class Nginx:
    """A running nginx; a context manager.

    Args:
        directory: where it keeps its configuration and log; made where it is missing.
        server: what is in its ``server`` block.
        listen_options: what follows the address in ``listen``, as ``ssl http2``.
    """

    def __init__(self, directory: Path, server: str, *, listen_options: str = "") -> None:
        directory.mkdir(exist_ok=True)
        (directory / "temp").mkdir(exist_ok=True)
        self.host = f"127.0.0.1:{free_port()}"
        self._configuration = directory / "nginx.conf"
        self._configuration.write_text(
            _MAIN.format(
                directory=directory, address=self.host, options=f" {listen_options}", server=server
            )
        )
        self._process: LoggedProcess | None = None

    def __repr__(self) -> str:
        return f"<Nginx {self.host}>"

    def __enter__(self) -> Self:
        directory, configuration = self._configuration.parent, self._configuration
        self._process = LoggedProcess(["nginx", "-p", directory, "-c", configuration])
        try:
            # Written after listen(2), so who connects from now on is answered.
            self._process.wait_for_line("getrlimit|start worker", deadline_seconds=20)
        except BaseException:
            self._process.stop()
            self._process.join_log()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.stop()
            self._process.join_log()

    def requests(self) -> list[str]:
        """What was asked so far, one line each: status, method, path, ``"Range"`` and ``"Authorization"``."""
        assert self._process is not None, "it was entered"
        # An answer may be here before its line; but the lines come in order.
        barrier = f"/barrier-{uuid.uuid4().hex}"
        connection = http.client.HTTPConnection(self.host, timeout=20)
        with contextlib.closing(connection):
            connection.request("OPTIONS", barrier)
            connection.getresponse().read()
        self._process.wait_for_line(barrier, deadline_seconds=20)
        lines = [line for line in self._process.lines() if line.startswith(_REQUEST)]
        return [line.removeprefix(_REQUEST) for line in lines if "/barrier-" not in line]


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
