"""A layer server that serves directories it makes: real files, no network, and failures on request."""

import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from fs.layer_source import LayerSource
from registry.digest import Digest
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.layer_server import ServedLayer


class FakeLayerServer:
    """Behaves as the fs server does towards the snapshotter.

    Attributes:
        attached: Every successful attach, in order; a layer that was attached before is not counted again.
        started: For every start of a container, the layers that it was found ready with.
        unavailable: Layers that cannot be served.
        gone: Whether the server is away and cannot be started.
        gate: What attaching waits for, if a test sets one.
        waiting: Set when an attach waits at the gate.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.attached: list[LayerSource] = []
        self.unavailable: set[Digest] = set()
        self.started: list[set[Digest]] = []
        self.gone = False
        self.gate: threading.Event | None = None
        self.waiting = threading.Event()
        self._contents: dict[Digest, Mapping[str, str]] = {}
        self._served: set[Digest] = set()
        self._guard = threading.Lock()

    def put(self, layer: Digest, files: Mapping[str, str]) -> None:
        """Says what a layer contains."""
        self._contents[layer] = files

    def forget_attachments(self) -> None:
        """Does what a restart does: files stay, nothing is attached."""
        self._served.clear()

    def attach(self, source: LayerSource) -> Path:
        layer = source.digest
        if self.gate is not None:
            self.waiting.set()
            assert self.gate.wait(timeout=20)
        if self.gone:
            raise FsServerError("cannot be started: it is a fake")
        if layer in self.unavailable:
            raise LayerUnavailableError(str(layer), "the registry is away")
        directory = self.root / layer.file_name
        with self._guard:
            directory.mkdir(parents=True, exist_ok=True)
            for name, content in self._contents.get(layer, {}).items():
                (directory / name).write_text(content)
            if layer not in self._served:
                self.attached.append(source)
            self._served.add(layer)
        return directory

    def detach(self, layer: Digest) -> None:
        if self.gone:
            raise FsServerError("cannot be started: it is a fake")
        with self._guard:
            self._served.discard(layer)
            shutil.rmtree(self.root / layer.file_name, ignore_errors=True)

    def missing(self, layers: Collection[Digest]) -> set[Digest]:
        return set(layers) - self.served().keys()

    def missing_at_start(self, layers: Collection[Digest]) -> set[Digest]:
        missing = self.missing(layers)
        self.started.append(set(layers) - missing)
        return missing

    def served(self) -> Mapping[Digest, ServedLayer]:
        if self.gone:
            raise FsServerError("cannot be started: it is a fake")
        with self._guard:
            return {
                layer: ServedLayer(layer, sum(map(len, self._contents.get(layer, {}).values())))
                for layer in self._served
            }
