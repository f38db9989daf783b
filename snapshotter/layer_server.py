"""What the snapshotter asks of whoever serves layers: the fs server, or a fake in tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from registry.digest import Digest
from snapshotter.labels import LayerSource


@dataclass(frozen=True, slots=True)
class ServedLayer:
    """One layer that can be read.

    Attributes:
        present_bytes: File content that is verified and on disk.
    """

    layer_digest: Digest
    present_bytes: int


class LayerServer(Protocol):
    """Makes layers readable as directories. May be called from many threads at once."""

    def attach(self, source: LayerSource) -> Path:
        """Makes a layer readable and tells where; costs no request if it was attached before.

        Raises:
            LayerUnavailableError: it cannot be served.
            FsServerError: there is no server, and none could be started.
        """
        ...

    def detach(self, layer: Digest) -> None:
        """Forgets a layer, and what was kept of it.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...

    def served(self) -> Mapping[Digest, ServedLayer]:
        """The layers that are attached; never waits for the network.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...
