"""The layers of an Additional Layer Store: found by the image's manifest, served by the fs server while somebody uses them.

An image is asked for once; that it cannot be had, or has no such layer, is remembered for some seconds, because podman looks for
every layer of every image it pulls. What is in use is kept on record, and needs no registry to be served again.
"""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from estargz.errors import EstargzError
from estargz.image_selection import choose_platform
from fs.layer_source import LayerSource
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, ContentError
from registry.images import RegistryImage
from registry.manifest import Index, Platform, parse_manifest
from registry.reference import Reference
from snapshotter.errors import LayerUnavailableError, SnapshotterError
from snapshotter.layer_server import LayerServer
from snapshotter.store.image import NoSuchLayerError, StoreLayer, lazy_layers, may_be_lazy
from snapshotter.store.records import StoreRecords

_log = logging.getLogger(__name__)
_MAX_CONFIG_BYTES = 16 << 20
_MAX_IMAGES = 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """How long things are waited for, and kept.

    Attributes:
        image_seconds: for an image's manifest and config.
        answer_seconds: how long it holds what an image was found to be.
        attached_seconds: how long it holds that the fs server serves a layer.
        unused_seconds: how long a layer is kept that was looked at and never used.
    """

    image_seconds: float = 30.0
    answer_seconds: float = 5.0
    attached_seconds: float = 1.0
    unused_seconds: float = 120.0


@dataclass(slots=True)
class _Image:
    """When an image was asked for the last time, and what was wrong with it."""

    asking: trio.Lock = field(default_factory=trio.Lock)
    asked: float = -float("inf")
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Attached:
    """Where a layer is served, and since when that has been known."""

    directory: Path
    told: float


class StoreLayers:
    """What a store serves.

    Args:
        client: where images are asked for.
        server: who serves layers; called from threads.
        records: what is known of layers, and used.
        platform: the one whose images are meant.
        settings: how long things are waited for.
    """

    def __init__(
        self,
        client: RegistryClient,
        server: LayerServer,
        records: StoreRecords,
        platform: Platform,
        settings: StoreSettings | None = None,
    ) -> None:
        self._client = client
        self._server = server
        self._records = records
        self._platform = platform
        self._settings = settings or StoreSettings()
        self._images: dict[Reference, _Image] = {}
        # Held while a layer is attached or detached: never both.
        self._changing: defaultdict[Digest, trio.Lock] = defaultdict(trio.Lock)
        self._attached: dict[Digest, _Attached] = {}
        self._looked_at: dict[Digest, float] = {}
        self._nursery: trio.Nursery

    def __repr__(self) -> str:
        return f"<StoreLayers {len(self._looked_at)} layers>"

    @asynccontextmanager
    async def kept_tidy(self) -> AsyncIterator[None]:
        """Lets go of layers that nobody uses any more, for the time of a ``with`` block.

        Raises:
            FsServerError: there is no fs server.
            RecordsError: the records cannot be used.
        """
        async with trio.open_nursery() as self._nursery:
            await self._recover()
            tidying = trio.CancelScope()
            self._nursery.start_soon(self._tidy_regularly, tidying)
            yield
            tidying.cancel()  # and what is being let go is waited for

    async def find(self, reference: Reference, name: Digest) -> StoreLayer:
        """A lazy layer of an image, by its digest or its TOC's; what is on record costs no request.

        Raises:
            NoSuchLayerError: the image has no such layer, or it is not lazy.
            LayerUnavailableError: the image cannot be had.
        """
        layer = await _in_thread(lambda: self._records.find(reference, name))
        if layer is None:
            await self._ask_for(reference)
            layer = await _in_thread(lambda: self._records.find(reference, name))
        if layer is None:
            raise NoSuchLayerError(f"{reference} {name}", "the image has no such lazy layer")
        self._looked_at[layer.digest] = trio.current_time()
        return layer

    async def attach(self, layer: StoreLayer) -> Path:
        """Where a layer can be read; costs no request if it was attached before.

        Raises:
            LayerUnavailableError: it cannot be served.
            FsServerError: there is no fs server.
        """
        async with self._changing[layer.digest]:
            known = self._attached.get(layer.digest)
            now = trio.current_time()
            if known is not None and now - known.told < self._settings.attached_seconds:
                return known.directory
            fields: dict[str, object] = {"image": str(layer.reference), "layer": str(layer.digest)}
            if known is None:  # or who tidies would not find it, if it was forgotten meanwhile
                await _in_thread(lambda: self._records.put([layer]))
            source = await _in_thread(lambda: self._source(layer))
            try:
                directory = await _in_thread(lambda: self._server.attach(source))
            except SnapshotterError as error:
                fields |= {"remote-snapshot-prepared": "false", "error": str(error)}
                _log.warning("failed to prepare layer", extra={"fields": fields})
                raise
            if known is None:
                fields["remote-snapshot-prepared"] = "true"
                _log.info("prepared layer", extra={"fields": fields})
            self._attached[layer.digest] = _Attached(directory, trio.current_time())
            return directory

    async def use(self, layer: StoreLayer) -> None:
        """Somebody uses a layer, once more."""
        await _in_thread(lambda: self._records.use(layer))

    async def release(self, layer: StoreLayer) -> None:
        """Somebody uses a layer once less; with the last use, it goes, and so does what was fetched of it."""
        await _in_thread(lambda: self._records.release(layer))
        if not await _in_thread(lambda: self._records.uses(layer.digest)):
            self._nursery.start_soon(self._let_go, layer.digest)

    async def tidy(self) -> None:
        """Lets go of layers that nobody uses, and nobody has looked at lately.

        Raises:
            RecordsError: the records cannot be used.
        """
        now = trio.current_time()
        for digest, uses in (await _in_thread(self._records.digests)).items():
            age = now - self._looked_at.get(digest, -float("inf"))
            if not uses and age > self._settings.unused_seconds:
                await self._let_go(digest)

    async def fetch_blob(self, layer: StoreLayer, directory: Path) -> int:
        """A descriptor of a file without a name that holds a layer's blob, whole and verified.

        Raises:
            RegistryError: it cannot be had, or is another one.
            OSError: the disk is full or broken.
        """
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            await self._fetch_into(descriptor, layer)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    async def _fetch_into(self, descriptor: int, layer: StoreLayer) -> None:
        found, size = hashlib.new(layer.digest.algorithm), 0
        blob = self._client.stream_blob(layer.reference.repository_name, layer.digest)
        async with blob as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > layer.blob_bytes:
                    break
                found.update(piece)
                await trio.to_thread.run_sync(_write_all, descriptor, piece)
        if size != layer.blob_bytes or found.hexdigest() != layer.digest.hex:
            detail = f"blob {layer.digest} has another size or digest"
            raise BadResponseError(layer.reference.host, detail=detail, retryable=False)

    def _source(self, layer: StoreLayer) -> LayerSource:
        """A layer as the fs server is asked for it, together with those that will be asked for next."""
        image = self._records.of_image(layer.reference)
        return LayerSource(
            reference=layer.reference,
            digest=layer.digest,
            toc_digest=layer.toc_digest,
            neighbours=tuple(other.digest for other in image if other.digest != layer.digest),
        )

    async def _ask_for(self, reference: Reference) -> None:
        """Puts the lazy layers of an image on record, unless it was asked for just now."""
        image = self._image(reference)
        async with image.asking:
            if trio.current_time() - image.asked > self._settings.answer_seconds:
                image.failure = await self._read(reference)
                image.asked = trio.current_time()
            if image.failure:
                raise LayerUnavailableError(str(reference), image.failure)

    async def _read(self, reference: Reference) -> str:
        """Asks for an image; gives what was wrong."""
        fields = {"image": str(reference)}
        image = RegistryImage(reference, self._client)
        try:
            with trio.fail_after(self._settings.image_seconds):
                layers = await _read_layers(image, reference, self._platform)
        except (ContentError, EstargzError, trio.TooSlowError) as error:
            reason = str(error) or "the registry does not answer"
            _log.warning("image cannot be read", extra={"fields": fields | {"error": reason}})
            return reason
        if not layers:
            _log.info("image is not lazy: it is pulled as usual", extra={"fields": fields})
        await _in_thread(lambda: self._records.put(layers))
        return ""

    def _image(self, reference: Reference) -> _Image:
        if reference not in self._images:
            while len(self._images) >= _MAX_IMAGES:
                del self._images[next(iter(self._images))]
            self._images[reference] = _Image()
        return self._images[reference]

    async def _recover(self) -> None:
        """Lets go of what a former life left unused."""
        recorded = await _in_thread(self._records.digests)
        served = await _in_thread(self._server.served)
        for digest in served.keys() | recorded.keys():
            if not recorded.get(digest):
                await self._let_go(digest)

    async def _tidy_regularly(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await trio.sleep(self._settings.unused_seconds)
                try:
                    await self.tidy()
                except SnapshotterError as error:
                    fields = {"error": str(error)}
                    _log.warning("unused layers are kept", extra={"fields": fields})

    async def _let_go(self, digest: Digest) -> None:
        """Detaches a layer, unless it is in use again."""
        fields: dict[str, object] = {"layer": str(digest)}
        async with self._changing[digest]:
            try:
                if await _in_thread(lambda: self._records.uses(digest)):
                    return
                self._attached.pop(digest, None)
                await _in_thread(lambda: self._server.detach(digest))
                await _in_thread(lambda: self._records.forget_unused(digest))
                self._images.clear()  # what was answered is not all on record any more
            except SnapshotterError as error:  # tried again later, at the latest at the next start
                fields["error"] = str(error)
                _log.warning("layer cannot be released yet", extra={"fields": fields})
                return
            self._looked_at.pop(digest, None)
        _log.info("layer released", extra={"fields": fields})


async def _read_layers(
    image: RegistryImage, reference: Reference, platform: Platform
) -> list[StoreLayer]:
    raw = await image.fetch_manifest()
    document = parse_manifest(raw.data, media_type=raw.media_type)
    if isinstance(document, Index):
        child = choose_platform(document.manifests, [platform])
        raw = await image.fetch_manifest(child.digest)
        document = parse_manifest(raw.data, media_type=raw.media_type)
    if isinstance(document, Index) or not may_be_lazy(document):
        return []
    config = await image.read_blob(document.config.digest, max_bytes=_MAX_CONFIG_BYTES)
    return list(lazy_layers(reference, document, config, raw.digest))


async def _in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
