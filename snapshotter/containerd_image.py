"""An image in a running containerd, as an ``ImageStore``."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from registry.digest import Digest
from registry.images import OnProgress, RegistryImage
from registry.manifest import MAX_MANIFEST_BYTES, RawManifest, parse_manifest
from registry.ranges import BlobRange
from registry.reference import Reference, Repository
from snapshotter.containerd_client import PIECE_BYTES, ContainerdClient
from snapshotter.containerd_errors import ContainerdError
from snapshotter.containerd_labels import child_labels, origin_label
from snapshotter.proto import descriptor_pb2

CONTAINERD_PREFIX: Final = "containerd:"


@dataclass(frozen=True, slots=True)
class ContainerdName:
    """An image in containerd, under the full name that nerdctl and ``ctr`` give it."""

    reference: Reference

    @classmethod
    def parse(cls, text: str) -> "ContainerdName":
        """Reads what follows the prefix; raises ``InvalidReferenceError``."""
        return cls(Reference.parse(text))

    def __str__(self) -> str:
        return f"{CONTAINERD_PREFIX}{self.reference}"

    def as_target(self) -> "ContainerdName":
        """The name that what is written gets: with a tag, and without a digest.

        Raises:
            InvalidReferenceError: there is no tag.
        """
        return ContainerdName(self.reference.sibling(""))


class ContainerdImage:
    """An image in containerd. All of it must be there: nothing is pulled."""

    def __init__(self, name: ContainerdName, client: ContainerdClient) -> None:
        self._name = name
        self._client = client
        self._origins: dict[Digest, Repository] = {}

    def __repr__(self) -> str:
        return f"<ContainerdImage {self._name}>"

    def describe(self) -> str:
        """See ``ImageStore``."""
        return str(self._name)

    __str__ = describe

    def sibling(self, tag_suffix: str) -> "ContainerdImage":
        """See ``ImageStore``."""
        name = ContainerdName(self._name.reference.sibling(tag_suffix))
        return ContainerdImage(name, self._client)

    async def fetch_manifest(self, digest: Digest | None = None) -> RawManifest:
        """See ``ImageStore``. What the name says is held, with all that belongs to it."""
        if digest is not None:
            data = await self.read_blob(digest, max_bytes=MAX_MANIFEST_BYTES)
            return RawManifest(data, parse_manifest(data).media_type, digest)
        target = await self._client.find_image(str(self._name.reference))
        digest = Digest.parse(target.digest)
        await self._client.hold(digest)
        data = await self.read_blob(digest, max_bytes=MAX_MANIFEST_BYTES)
        return RawManifest(data, target.media_type, digest)

    def stream_blob(self, digest: Digest) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See ``ImageStore``."""
        return self._client.read(digest)

    async def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """See ``ImageStore``."""
        if await self._client.size_of(digest) > max_bytes:
            raise self._bad_blob(digest, f"it has more than {max_bytes} bytes")
        data = await self._read(digest, start=0, length=0)
        if not digest.matches(data):
            raise self._bad_blob(digest, "its content has another digest")
        return data

    async def read_blob_range(self, digest: Digest, *, start: int, length: int) -> BlobRange:
        """See ``ImageStore``."""
        size = await self._client.size_of(digest)
        if start + length > size:
            raise self._bad_blob(digest, f"it ends before byte {start + length}")
        return BlobRange(start, await self._read(digest, start=start, length=length), size)

    async def read_blob_tail(self, digest: Digest, *, length: int) -> BlobRange:
        """See ``ImageStore``."""
        size = await self._client.size_of(digest)
        start = max(0, size - length)
        return BlobRange(start, await self._read(digest, start=start, length=size - start), size)

    async def has_blob(self, digest: Digest) -> bool:
        """See ``ImageStore``. A blob that is there is held, so that it still is when it is needed."""
        await self._client.hold(digest)
        return await self._client.blob_bytes(digest) is not None

    async def take_blob(self, digest: Digest, source: object) -> bool:
        """See ``ImageStore``. Never; but when the blob is pushed here, it is labelled with the registry that has it, too."""
        if isinstance(source, RegistryImage):
            self._origins[digest] = source.repository
        return False

    async def push_blob(
        self, digest: Digest, path: Path, *, on_progress: OnProgress | None = None
    ) -> None:
        """See ``ImageStore``."""
        size = (await trio.Path(path).stat()).st_size
        report = on_progress or _ignore_progress
        origin = self._origins.get(digest)
        labels = {} if origin is None else origin_label(origin)
        await self._client.write(digest, size, partial(_file_pieces, path, report), labels=labels)

    async def push_manifest(self, raw: bytes, media_type: str, *, tagged: bool) -> None:
        """See ``ImageStore``. Its parts are kept by containerd as long as it is."""
        digest = Digest.of(raw)
        labels = child_labels(parse_manifest(raw, media_type=media_type))
        await self._client.write(digest, len(raw), partial(_pieces, raw), labels=labels)
        if tagged:
            target = descriptor_pb2.Descriptor(
                media_type=media_type, digest=str(digest), size=len(raw)
            )
            await self._client.name_image(str(self._name.reference), target)

    async def _read(self, digest: Digest, *, start: int, length: int) -> bytes:
        async with self._client.read(digest, start=start, length=length) as pieces:
            return b"".join([piece async for piece in pieces])

    def _bad_blob(self, digest: Digest, reason: str) -> ContainerdError:
        return ContainerdError(self._client.address.socket, f"give blob {digest}", reason)


async def _pieces(raw: bytes, start: int) -> AsyncGenerator[bytes, None]:
    if start < len(raw):
        yield raw[start:]


async def _file_pieces(path: Path, report: OnProgress, start: int) -> AsyncGenerator[bytes, None]:
    report(start)
    async with await trio.open_file(path, "rb") as file:
        await file.seek(start)
        while piece := await file.read(PIECE_BYTES):
            yield piece
            report(len(piece))


def _ignore_progress(_delta: int) -> None:
    pass
