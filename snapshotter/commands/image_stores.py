"""Images wherever a command line may name them: in a registry, a layout, an archive, or a running containerd."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from registry.client import RegistryClient
from registry.image_names import ImageName
from registry.images import ImageStore, open_image, open_target
from registry.manifest import Platform
from registry.settings import ClientSettings
from snapshotter.containerd_client import ContainerdAddress, ContainerdClient
from snapshotter.containerd_image import CONTAINERD_PREFIX, ContainerdImage, ContainerdName

NamedImage = ImageName | ContainerdName

DEFAULT_CONTAINERD: Final = ContainerdAddress("/run/containerd/containerd.sock", "default")


@dataclass(frozen=True, slots=True)
class ImageAccess:
    """How images are got at: registries, and the containerd of this machine."""

    registries: ClientSettings = field(default_factory=ClientSettings)
    containerd: ContainerdAddress = DEFAULT_CONTAINERD


def parse_image(text: str) -> NamedImage:
    """Reads a name.

    Raises:
        InvalidReferenceError: it is no kind of name.
    """
    if text.startswith(CONTAINERD_PREFIX):
        return ContainerdName.parse(text.removeprefix(CONTAINERD_PREFIX))
    return ImageName.parse(text)


def usual_platforms(name: NamedImage, host: Platform) -> tuple[Platform, ...]:
    """The platforms meant where none are named: containerd usually has an image for its own machine only; else all."""
    return (host,) if isinstance(name, ContainerdName) else ()


class ImageStores:
    """Opens images by name; an async context manager. Nothing is connected to before it is asked for something."""

    def __init__(self, access: ImageAccess) -> None:
        self._access = access
        self._registries = RegistryClient(access.registries)
        self._containerd: ContainerdClient | None = None
        self._open = contextlib.AsyncExitStack()

    def __repr__(self) -> str:
        return f"<ImageStores {self._registries} {self._containerd}>"

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._registries)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, traceback)

    def open(self, name: NamedImage) -> ImageStore:
        """The store of an image; see ``registry.images.open_image``."""
        if isinstance(name, ContainerdName):
            return self._containerd_image(name)
        return open_image(name, self._registries)

    @contextlib.asynccontextmanager
    async def target(self, name: NamedImage) -> AsyncGenerator[ImageStore, None]:
        """The store that an image is written to; see ``registry.images.open_target``.

        Raises:
            InvalidReferenceError: it is a name in containerd without a tag.
            LayoutError: it is an archive that exists already, or cannot be written.
        """
        if isinstance(name, ContainerdName):
            yield self._containerd_image(name.as_target())
            return
        async with open_target(name, self._registries) as target:
            yield target

    def _containerd_image(self, name: ContainerdName) -> ContainerdImage:
        if self._containerd is None:
            self._containerd = ContainerdClient(self._access.containerd)
            self._open.push_async_exit(self._containerd)
        return ContainerdImage(name, self._containerd)
