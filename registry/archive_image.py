"""An image in an archive, as an ``ImageStore`` that is only read."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from registry.archives import ArchiveContents, read_docker_archive, read_oci_archive
from registry.digest import Digest
from registry.errors import LayoutError
from registry.image_names import ArchiveFormat, ArchiveName
from registry.manifest import MAX_MANIFEST_BYTES, RawManifest, parse_manifest
from registry.ranges import BlobRange
from registry.tar_files import FileSpan, TarFiles

_PIECE_BYTES: Final = 1 << 20


class ArchiveImage:
    """An image in an archive, which is looked into when it is first asked for."""

    def __init__(self, name: ArchiveName) -> None:
        self._name = name
        self._opening = trio.Lock()
        self._tar: TarFiles | None = None
        self._contents: ArchiveContents | None = None

    def __repr__(self) -> str:
        return f"<ArchiveImage {self._name}>"

    def describe(self) -> str:
        """See ``ImageStore``."""
        return str(self._name)

    __str__ = describe

    def sibling(self, tag_suffix: str) -> "ArchiveImage":
        """See ``ImageStore``. An image without a tag counts as the latest."""
        return ArchiveImage(replace(self._name, tag=(self._name.tag or "latest") + tag_suffix))

    async def fetch_manifest(self, digest: Digest | None = None) -> RawManifest:
        """See ``ImageStore``."""
        _tar, contents = await self._opened()
        if digest is None or digest == contents.root.digest:
            return contents.root
        data = await self.read_blob(digest, max_bytes=MAX_MANIFEST_BYTES)
        return RawManifest(data, parse_manifest(data).media_type, digest)

    def stream_blob(self, digest: Digest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See ``ImageStore``."""
        return contextlib.aclosing(self._pieces(digest))

    async def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """See ``ImageStore``."""
        tar, span = await self._find(digest)
        if span.size > max_bytes:
            raise LayoutError(self._name.path, f"blob {digest} has more than {max_bytes} bytes")
        data = await self._read(tar, span, 0, span.size)
        if not digest.matches(data):
            raise LayoutError(self._name.path, f"the content of blob {digest} has another digest")
        return data

    async def read_blob_range(self, digest: Digest, *, start: int, length: int) -> BlobRange:
        """See ``ImageStore``."""
        tar, span = await self._find(digest)
        return BlobRange(start, await self._read(tar, span, start, length), span.size)

    async def read_blob_tail(self, digest: Digest, *, length: int) -> BlobRange:
        """See ``ImageStore``."""
        _tar, span = await self._find(digest)
        start = max(0, span.size - length)
        return await self.read_blob_range(digest, start=start, length=span.size - start)

    async def has_blob(self, digest: Digest) -> bool:
        """See ``ImageStore``."""
        _tar, contents = await self._opened()
        return digest in contents.blobs

    async def take_blob(self, digest: Digest, source: object) -> bool:
        """Never: an archive is written whole."""
        del digest, source
        return False

    async def push_blob(
        self,
        digest: Digest,
        path: Path,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Always fails: an archive is written whole, see ``images.open_target``."""
        del path, on_progress
        raise LayoutError(self._name.path, f"blob {digest} cannot be added to an archive")

    async def push_manifest(self, raw: bytes, media_type: str, *, tagged: bool) -> None:
        """Always fails, like ``push_blob``."""
        del media_type, tagged
        raise LayoutError(self._name.path, f"{Digest.of(raw)} cannot be added to an archive")

    async def _opened(self) -> tuple[TarFiles, ArchiveContents]:
        async with self._opening:
            if self._tar is None:
                self._tar = await trio.to_thread.run_sync(TarFiles.open, self._name.path)
            if self._contents is None:
                is_oci = self._name.format is ArchiveFormat.OCI
                read = read_oci_archive if is_oci else read_docker_archive
                self._contents = await trio.to_thread.run_sync(read, self._tar, self._name.tag)
        return self._tar, self._contents

    async def _find(self, digest: Digest) -> tuple[TarFiles, FileSpan]:
        tar, contents = await self._opened()
        span = contents.blobs.get(digest)
        if span is None:
            raise LayoutError(self._name.path, f"it does not hold blob {digest}")
        return tar, span

    async def _read(self, tar: TarFiles, span: FileSpan, start: int, length: int) -> bytes:
        return await trio.to_thread.run_sync(
            partial(tar.read_range, span, start=start, length=length)
        )

    async def _pieces(self, digest: Digest) -> AsyncGenerator[bytes, None]:
        tar, span = await self._find(digest)
        for start in range(0, span.size, _PIECE_BYTES):
            yield await self._read(tar, span, start, min(_PIECE_BYTES, span.size - start))
