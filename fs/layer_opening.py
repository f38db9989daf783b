"""Opening layers: from the disk where they are kept, from the registry where not. Everything but the waiting is in threads.

What is damaged is told, and made again from what is not: a layer image from the kept TOC, a TOC from the registry,
everything from the next one that asks. Content stays, as long as it belongs to the image.
"""

import logging
import time
from dataclasses import dataclass

import trio

from estargz.codec import Codec
from estargz.errors import EstargzError
from estargz.opening import FoundToc, extract_toc, unpack_toc
from estargz.toc import parse_toc
from fs.cache_usage import CacheUsage
from fs.chunk_store import ChunkStore
from fs.compiling import compile_layer
from fs.durations import Operation
from fs.errors import LayerStateError
from fs.layer_blob import LayerBlob
from fs.layer_directory import LayerDirectories, LayerRecord
from fs.layer_image import LayerImage
from fs.node_traffic import NodeTraffic
from registry.client import RegistryClient
from registry.digest import Digest
from registry.reference import Reference

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedLayer:
    """What a layer is made of once it is open.

    Attributes:
        record: what is known of it.
        image: its tree and chunks.
        store: its content.
        blob: the way to what is missing.
        last_used: when it was last read or attached, in seconds since 1970.
    """

    record: LayerRecord
    image: LayerImage
    store: ChunkStore
    blob: LayerBlob
    last_used: float


@dataclass(frozen=True, slots=True)
class FoundLayer:
    """A layer whose TOC is here, whether or not it is the right one.

    Attributes:
        blob: the way to its content.
        found: its TOC, compressed.
        image: what this TOC makes, if that was worked out ahead.
    """

    blob: LayerBlob
    found: FoundToc
    image: LayerImage | None = None


class LayerOpener:
    """Opens the layers under one root. It keeps no state: who calls sees to it that a layer is opened once."""

    def __init__(
        self,
        client: RegistryClient,
        directories: LayerDirectories,
        node: NodeTraffic,
        usage: CacheUsage,
    ) -> None:
        self._client = client
        self._directories = directories
        self._node = node
        self._usage = usage
        # One at a time: readers need the interpreter, too.
        self._ahead = trio.CapacityLimiter(1)

    def __repr__(self) -> str:
        return f"<LayerOpener {self._directories!r}>"

    def blob(self, reference: Reference, digest: Digest) -> LayerBlob:
        """The way to a layer's content in its registry."""
        return LayerBlob(self._client, reference, digest, self._node)

    async def open_kept(self, digest: Digest) -> OpenedLayer | None:
        """Opens a layer from what is on disk; without a request, unless its TOC is damaged.

        None where nothing is kept that could be used; it is deleted then.

        Raises:
            EstargzError: its TOC had to be fetched again and is not the one it was.
            RegistryError: its TOC had to be fetched again and could not be.
            OSError: the disk is full or broken.
        """
        loaded = await trio.to_thread.run_sync(self._load, digest)
        if loaded is None:
            return None
        record, parts = loaded
        blob = self.blob(Reference.parse(record.reference), digest)
        if parts is None:
            found = await blob.find_toc()
            parts = await trio.to_thread.run_sync(self._repair, digest, record, found)
        image, store = parts
        return OpenedLayer(record, image, store, blob, store.last_use)

    async def find(self, blob: LayerBlob) -> FoundLayer:
        """Fetches the TOC of a layer.

        Raises:
            EstargzError: there is none.
            RegistryError: it cannot be fetched.
        """
        return FoundLayer(blob, await blob.find_toc())

    async def compile_ahead(self, layer: FoundLayer) -> FoundLayer:
        """The layer with the image that its TOC makes if it is the right one; without, if it makes none."""

        def compile_unverified() -> LayerImage:
            found = layer.found
            return self._compile(unpack_toc(found), found.codec, payload_bytes=found.payload_bytes)

        try:
            image = await trio.to_thread.run_sync(compile_unverified, limiter=self._ahead)
        except EstargzError:
            return layer  # it is told when the layer is asked for
        return FoundLayer(layer.blob, layer.found, image)

    async def open_new(self, layer: FoundLayer, *, toc_digest: Digest) -> OpenedLayer:
        """Opens a layer whose TOC was fetched, and keeps it.

        Raises:
            EstargzError: the TOC is another one, or breaks a rule.
            OSError: the disk is full or broken.
        """
        blob, found = layer.blob, layer.found
        record = LayerRecord(
            reference=str(blob.reference),
            layer_digest=str(blob.digest),
            toc_digest=str(toc_digest),
            codec=found.codec,
            payload_bytes=found.payload_bytes,
            blob_bytes=found.blob_bytes,
        )

        def compile_and_keep() -> tuple[LayerImage, ChunkStore]:
            raw_toc = extract_toc(found, expected=toc_digest)
            compiled = layer.image or self._compile_as_recorded(raw_toc, record)
            self._directories.save(blob.digest, record, raw_toc, compiled)
            # Mapped anew: what is only in files can be dropped from memory.
            image = self._directories.map_image(blob.digest, record)
            return image, self._open_store(blob.digest, image)

        image, store = await trio.to_thread.run_sync(compile_and_keep)
        return OpenedLayer(record, image, store, blob, time.time())

    def _load(
        self, digest: Digest
    ) -> tuple[LayerRecord, tuple[LayerImage, ChunkStore] | None] | None:
        """What is on disk of a layer, in one go; without image and store if the TOC is needed and damaged."""
        record = self._load_record(digest)
        if record is None:
            return None
        image = self._load_image(digest, record)
        if image is None:
            return record, None
        return record, (image, self._open_store(digest, image))

    def _load_record(self, digest: Digest) -> LayerRecord | None:
        if not self._directories.exists(digest):
            return None
        try:
            return self._directories.load_record(digest)
        except LayerStateError as error:
            _log.warning("kept layer discarded", extra={"fields": {"error": str(error)}})
            self._directories.remove(digest)
            return None

    def _load_image(self, digest: Digest, record: LayerRecord) -> LayerImage | None:
        """The image; compiled again if it is damaged; None if the TOC is damaged too."""
        try:
            return self._directories.map_image(digest, record)
        except LayerStateError as error:
            _log.info("layer image is made again", extra={"fields": {"error": str(error)}})
        try:
            raw_toc = self._directories.load_toc(digest, record)
        except LayerStateError as error:
            _log.warning("TOC is fetched again", extra={"fields": {"error": str(error)}})
            return None
        return self._compile_again(digest, record, raw_toc)

    def _repair(
        self, digest: Digest, record: LayerRecord, found: FoundToc
    ) -> tuple[LayerImage, ChunkStore]:
        raw_toc = extract_toc(found, expected=Digest.parse(record.toc_digest))
        self._directories.replace_toc(digest, raw_toc)
        image = self._compile_again(digest, record, raw_toc)
        return image, self._open_store(digest, image)

    def _compile_again(self, digest: Digest, record: LayerRecord, raw_toc: bytes) -> LayerImage:
        self._directories.replace_image(digest, record, self._compile_as_recorded(raw_toc, record))
        return self._directories.map_image(digest, record)

    def _open_store(self, digest: Digest, image: LayerImage) -> ChunkStore:
        directory = self._directories.path(digest)
        return ChunkStore(directory, image.chunks, data_bytes=image.data_bytes, usage=self._usage)

    def _compile_as_recorded(self, raw_toc: bytes, record: LayerRecord) -> LayerImage:
        return self._compile(raw_toc, record.codec, payload_bytes=record.payload_bytes)

    def _compile(self, raw_toc: bytes, codec: Codec, *, payload_bytes: int) -> LayerImage:
        with self._node.durations.measured(Operation.TOC_PARSE):
            toc = parse_toc(raw_toc)
        return compile_layer(toc, payload_bytes=payload_bytes, codec=codec)
