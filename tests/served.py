"""An HTTP server of a test's own, running in a thread while a block lasts."""

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Served:
    """Serves; a context manager.

    Args:
        server: what to serve; it is closed at the end.
        name: what its thread is called.
    """

    def __init__(self, server: ThreadingHTTPServer, name: str) -> None:
        self.server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, name=name
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}>"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    @property
    def host(self) -> str:
        """host:port of the server."""
        return f"127.0.0.1:{self.server.server_port}"
