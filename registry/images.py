"""Images wherever they are: one view of a registry's repository, of an OCI layout directory and of archives.

What the commands that take an image and give an image work on; they need not know which kind they were given.
"""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from registry.archive_image import ArchiveImage
from registry.archives import pack_layout
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, LayoutError
from registry.image_names import ArchiveFormat, ArchiveName, ImageName, LayoutName
from registry.layout import OciLayout
from registry.manifest import MAX_MANIFEST_BYTES, RawManifest, parse_manifest
from registry.ranges import BlobRange
from registry.reference import Reference

__all__ = [
    "ImageName",
    "ImageStore",
    "LayoutImage",
    "LayoutName",
    "OnProgress",
    "RegistryImage",
    "open_image",
    "open_target",
]

OnProgress = Callable[[int], None]

_PIECE_BYTES: Final = 1 << 20


class ImageStore(Protocol):
    """Where one image is read from or written to, with all its blobs.

    Methods raise ``ContentError``: ``RegistryError`` or ``LayoutError``, after the kind of the store.
    """

    def describe(self) -> str:
        """The image's name, for messages."""

    def sibling(self, tag_suffix: str) -> "ImageStore":
        """The image whose tag is this one's with something behind it; raises ``ContentError`` where there is no tag."""

    async def fetch_manifest(self, digest: Digest | None = None) -> RawManifest:
        """What the name says, or what a digest of this store says."""

    def stream_blob(self, digest: Digest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A whole blob as it arrives, not verified."""

    async def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """A whole blob of limited size, verified."""

    async def read_blob_range(self, digest: Digest, *, start: int, length: int) -> BlobRange:
        """Exactly ``length`` bytes (at least one), not verified."""

    async def read_blob_tail(self, digest: Digest, *, length: int) -> BlobRange:
        """The last ``length`` bytes (at least one), or all of a smaller blob; not verified."""

    async def has_blob(self, digest: Digest) -> bool:
        """Whether a blob need not be pushed."""

    async def take_blob(self, digest: Digest, source: "ImageStore") -> bool:
        """Has a blob from an image's store without moving its bytes; whether that was possible."""

    async def push_blob(
        self, digest: Digest, path: Path, *, on_progress: OnProgress | None = None
    ) -> None:
        """Stores a file as a blob; progress as in ``RegistryClient.push_blob``."""

    async def push_manifest(self, raw: bytes, media_type: str, *, tagged: bool) -> None:
        """Stores a manifest or an index: under the image's name, or only by its digest (the children of an index)."""


def open_image(name: ImageName, client: RegistryClient) -> ImageStore:
    """The store of an image; nothing is read or made before it is asked for. Archives cannot be written so."""
    match name.location:
        case Reference() as reference:
            return RegistryImage(reference, client)
        case LayoutName() as layout:
            return LayoutImage(layout)
        case ArchiveName() as archive:
            return ArchiveImage(archive)


@contextlib.asynccontextmanager
async def open_target(name: ImageName, client: RegistryClient) -> AsyncGenerator[ImageStore, None]:
    """The store that an image is written to. An archive appears when the block ends without an error.

    Raises:
        LayoutError: the archive exists already, or cannot be written.
    """
    archive = name.location
    if not isinstance(archive, ArchiveName):
        yield open_image(name, client)
        return
    if archive.format is not ArchiveFormat.OCI:
        raise LayoutError(archive.path, "archives are written as oci-archive:FILE only")
    if archive.path.exists():
        raise LayoutError(archive.path, "it exists already: remove it, or choose another name")
    with _staging_directory(archive.path) as directory:
        yield LayoutImage(LayoutName(directory, archive.tag))
        await trio.to_thread.run_sync(pack_layout, directory, archive.path)


@contextlib.contextmanager
def _staging_directory(archive: Path) -> Iterator[Path]:
    try:
        directory = tempfile.mkdtemp(dir=archive.parent, prefix=f".{archive.name[:16]}-")
    except OSError as error:
        raise LayoutError(archive, f"it cannot be written ({error.strerror})") from error
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory)


class RegistryImage:
    """An image in a registry."""

    def __init__(self, reference: Reference, client: RegistryClient) -> None:
        self._reference = reference
        self.repository = reference.repository_name
        self._client = client

    def __repr__(self) -> str:
        return f"<RegistryImage {self._reference}>"

    def describe(self) -> str:
        """See ``ImageStore``."""
        return str(self._reference)

    __str__ = describe

    def sibling(self, tag_suffix: str) -> "RegistryImage":
        """See ``ImageStore``."""
        return RegistryImage(self._reference.sibling(tag_suffix), self._client)

    async def fetch_manifest(self, digest: Digest | None = None) -> RawManifest:
        """See ``ImageStore``."""
        return await self._client.fetch_manifest(self.repository, digest or self._named())

    def stream_blob(self, digest: Digest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See ``ImageStore``."""
        return self._client.stream_blob(self.repository, digest)

    async def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """See ``ImageStore``."""
        data = bytearray()
        async with self.stream_blob(digest) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > max_bytes:
                    raise self._bad_blob(digest, f"has more than {max_bytes} bytes")
        if not digest.matches(data):
            raise self._bad_blob(digest, "has another digest")
        return bytes(data)

    async def read_blob_range(self, digest: Digest, *, start: int, length: int) -> BlobRange:
        """See ``ImageStore``."""
        return await self._client.read_range(self.repository, digest, start=start, length=length)

    async def read_blob_tail(self, digest: Digest, *, length: int) -> BlobRange:
        """See ``ImageStore``."""
        return await self._client.read_tail(self.repository, digest, length=length)

    async def has_blob(self, digest: Digest) -> bool:
        """See ``ImageStore``."""
        return await self._client.blob_exists(self.repository, digest) is not None

    async def take_blob(self, digest: Digest, source: ImageStore) -> bool:
        """See ``ImageStore``. Registries mount blobs from one repository to another."""
        if not isinstance(source, RegistryImage):
            return False
        return await self._client.mount_blob(self.repository, digest, source=source.repository)

    async def push_blob(
        self, digest: Digest, path: Path, *, on_progress: OnProgress | None = None
    ) -> None:
        """See ``ImageStore``."""
        await self._client.push_blob(self.repository, digest, path, on_progress=on_progress)

    async def push_manifest(self, raw: bytes, media_type: str, *, tagged: bool) -> None:
        """See ``ImageStore``. A name with a tag and a digest is written under its tag."""
        name = self._reference.tag if tagged else None
        await self._client.push_manifest(self.repository, name or Digest.of(raw), raw, media_type)

    def _named(self) -> str | Digest:
        # A reference has a tag where it has no digest.
        return self._reference.digest or self._reference.tag or ""

    def _bad_blob(self, digest: Digest, problem: str) -> BadResponseError:
        return BadResponseError(
            self._reference.host, detail=f"blob {digest} {problem}", retryable=False
        )


class LayoutImage:
    """An image in an OCI layout directory, which the first push makes where it is missing."""

    def __init__(self, name: LayoutName) -> None:
        self._name = name
        self._creating = trio.Lock()

    def __repr__(self) -> str:
        return f"<LayoutImage {self._name}>"

    def describe(self) -> str:
        """See ``ImageStore``."""
        return str(self._name)

    __str__ = describe

    def sibling(self, tag_suffix: str) -> "LayoutImage":
        """See ``ImageStore``. An image without a tag counts as the latest."""
        return LayoutImage(LayoutName(self._name.path, (self._name.tag or "latest") + tag_suffix))

    async def fetch_manifest(self, digest: Digest | None = None) -> RawManifest:
        """See ``ImageStore``."""
        return await trio.to_thread.run_sync(self._fetch_manifest, digest)

    def stream_blob(self, digest: Digest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See ``ImageStore``."""
        return contextlib.aclosing(self._pieces(digest))

    async def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """See ``ImageStore``."""
        read = partial(self._layout().read_blob, digest, max_bytes=max_bytes)
        return await trio.to_thread.run_sync(read)

    async def read_blob_range(self, digest: Digest, *, start: int, length: int) -> BlobRange:
        """See ``ImageStore``."""
        read = partial(self._layout().read_blob_range, digest, start=start, length=length)
        return BlobRange(start, await trio.to_thread.run_sync(read), self._size(digest))

    async def read_blob_tail(self, digest: Digest, *, length: int) -> BlobRange:
        """See ``ImageStore``."""
        size = self._size(digest)
        start = max(0, size - length)
        return await self.read_blob_range(digest, start=start, length=size - start)

    async def has_blob(self, digest: Digest) -> bool:
        """See ``ImageStore``."""
        return self._layout().blob_bytes(digest) is not None

    async def take_blob(self, digest: Digest, source: ImageStore) -> bool:
        """See ``ImageStore``. Never: a directory's blobs are files of its own."""
        del digest, source
        return False

    async def push_blob(
        self, digest: Digest, path: Path, *, on_progress: OnProgress | None = None
    ) -> None:
        """See ``ImageStore``."""
        layout = await self._created_layout()
        report = partial(_report_from_thread, on_progress or _ignore_progress)
        add = partial(layout.add_blob, digest, path, on_progress=report)
        await trio.to_thread.run_sync(add)

    async def push_manifest(self, raw: bytes, media_type: str, *, tagged: bool) -> None:
        """See ``ImageStore``."""
        layout = await self._created_layout()
        add = partial(layout.add_manifest, raw, media_type, tag=self._name.tag, listed=tagged)
        await trio.to_thread.run_sync(add)

    def _layout(self) -> OciLayout:
        return OciLayout(self._name.path)

    async def _created_layout(self) -> OciLayout:
        # Several blobs may be pushed at once, and each may be the first.
        async with self._creating:
            return await trio.to_thread.run_sync(OciLayout.create, self._name.path)

    def _size(self, digest: Digest) -> int:
        size = self._layout().blob_bytes(digest)
        if size is None:
            raise LayoutError(self._name.path, f"it does not hold blob {digest}")
        return size

    def _fetch_manifest(self, digest: Digest | None) -> RawManifest:
        layout = OciLayout.open(self._name.path)
        if digest is not None:
            data = layout.read_blob(digest, max_bytes=MAX_MANIFEST_BYTES)
            return RawManifest(data, parse_manifest(data).media_type, digest)
        entry = layout.find(self._name.tag)
        data = layout.read_blob(entry.digest, max_bytes=MAX_MANIFEST_BYTES)
        return RawManifest(data, entry.media_type, entry.digest)

    async def _pieces(self, digest: Digest) -> AsyncGenerator[bytes, None]:
        position, size = 0, self._size(digest)
        while position < size:
            length = min(_PIECE_BYTES, size - position)
            piece = await self.read_blob_range(digest, start=position, length=length)
            position += length
            yield piece.data


def _report_from_thread(on_progress: OnProgress, delta: int) -> None:
    # Told in the caller's thread, not the copying one; a good moment to notice that nobody wants the copy.
    trio.from_thread.check_cancelled()
    trio.from_thread.run_sync(on_progress, delta)


def _ignore_progress(_delta: int) -> None:
    pass
