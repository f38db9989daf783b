"""A layer server whose work is measured on the way."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fs.layer_source import LayerSource
from registry.digest import Digest
from snapshotter.layer_server import LayerServer, ServedLayer


class MeasuredLayerServer:
    """A ``LayerServer`` that is another one, and tells how long attaching took.

    Args:
        server: Who does the work.
        observe: Told the seconds of every attach that succeeded.
    """

    def __init__(self, server: LayerServer, observe: Callable[[float], None]) -> None:
        self._server = server
        self._observe = observe

    def __repr__(self) -> str:
        return f"<MeasuredLayerServer {self._server!r}>"

    def attach(self, source: LayerSource) -> Path:
        """As ``LayerServer.attach``."""
        start = time.monotonic()
        directory = self._server.attach(source)
        self._observe(time.monotonic() - start)
        return directory

    def detach(self, layer: Digest) -> None:
        """As ``LayerServer.detach``."""
        self._server.detach(layer)

    def missing(self, layers: Collection[Digest]) -> set[Digest]:
        """As ``LayerServer.missing``."""
        return self._server.missing(layers)

    def missing_at_start(self, layers: Collection[Digest]) -> set[Digest]:
        """As ``LayerServer.missing_at_start``."""
        return self._server.missing_at_start(layers)

    def served(self) -> Mapping[Digest, ServedLayer]:
        """As ``LayerServer.served``."""
        return self._server.served()
