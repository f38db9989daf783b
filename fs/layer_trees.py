"""Where layers are shown: the one thing about a backend that the control socket has to know."""

from pathlib import Path
from typing import Protocol

import trio

from fs.layer import Layer
from fs.session import forget_layer
from registry.digest import Digest


class LayerTrees(Protocol):
    """Shows attached layers as directories."""

    async def show(self, layer: Layer) -> Path:
        """The directory that shows a layer; at once if it is shown already.

        Raises:
            OSError: the disk is full or broken.
        """
        ...

    async def hide(self, digest: Digest) -> None:
        """Shows a layer no more; who still uses it keeps it."""
        ...

    def is_shown(self, digest: Digest) -> bool:
        """Whether a layer can be used without asking for it again."""
        ...


class FuseTrees:
    """Layers as directories of the one FUSE mount, which needs no preparation."""

    def __init__(self, mountpoint: Path) -> None:
        self._mountpoint = mountpoint

    def __repr__(self) -> str:
        return f"<FuseTrees {self._mountpoint}>"

    async def show(self, layer: Layer) -> Path:
        """The directory that shows a layer."""
        return self._mountpoint / layer.digest.file_name

    async def hide(self, digest: Digest) -> None:
        """Makes the kernel forget a layer that is detached."""
        await trio.to_thread.run_sync(forget_layer, digest.file_name.encode())

    def is_shown(self, digest: Digest) -> bool:  # noqa: ARG002 - a layer is attached when its name is looked up
        """Always."""
        return True
