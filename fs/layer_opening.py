"""Opening layers: from the disk where they are kept, from the registry where not. Everything but the waiting is in threads.

What is damaged is told, and made again from what is not: a layer image from the kept TOC, a TOC from the registry,
everything from the next one that asks. Content stays, as long as it belongs to the image.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from estargz.errors import DigestMismatchError, TocError
from estargz.opening import FoundToc, extract_toc, unpack_toc
from estargz.toc import parse_toc
from fs.cache_usage import CacheUsage
from fs.chunk_store import ChunkStore
from fs.compilation import Compilation
from fs.compilers import Compiler
from fs.compiling import compile_layer
from fs.durations import Operation
from fs.errors import CompilerLostError, LayerStateError
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
class CompiledLayer:
    """A layer that is compiled, and not among those that are kept yet: its TOC may be the wrong one.

    Attributes:
        blob: the way to its content.
        record: what is known of it; its TOC digest is that of the TOC it was compiled from.
        directory: all that its directory will have.
    """

    blob: LayerBlob
    record: LayerRecord
    directory: Path


class LayerOpener:
    """Opens the layers under one root. It keeps no state: who calls sees to it that a layer is opened once.

    Attributes:
        is_shown_by_erofs: whether layers that are compiled from now on need an image for the kernel.
    """

    def __init__(
        self,
        client: RegistryClient,
        directories: LayerDirectories,
        node: NodeTraffic,
        usage: CacheUsage,
        compiler: Compiler,
    ) -> None:
        self._client = client
        self._directories = directories
        self._node = node
        self._usage = usage
        self._compiler = compiler
        self._compiling_ahead = trio.CapacityLimiter(compiler.at_once)
        self.is_shown_by_erofs = False

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

    async def compile_ahead(self, blob: LayerBlob) -> CompiledLayer:
        """Fetches and compiles the TOC of a layer whose TOC digest is not known yet.

        Raises:
            EstargzError: there is none, or it breaks a rule.
            RegistryError: it cannot be fetched.
            CompilerLostError: whoever compiled it is gone.
            OSError: the disk is full or broken.
        """
        found = await blob.find_toc()

        def unpack() -> tuple[bytes, Digest]:
            raw_toc = unpack_toc(found)
            return raw_toc, Digest.of(raw_toc)

        async with self._compiling_ahead:
            raw_toc, toc_digest = await trio.to_thread.run_sync(unpack)
            return await self._compile(blob, _record(blob, found, toc_digest), raw_toc)

    async def compile(self, blob: LayerBlob, *, toc_digest: Digest) -> CompiledLayer:
        """Fetches, verifies and compiles the TOC of a layer.

        Raises:
            EstargzError: there is none, it is another one, or breaks a rule.
            RegistryError: it cannot be fetched.
            CompilerLostError: whoever compiled it is gone.
            OSError: the disk is full or broken.
        """
        found = await blob.find_toc()
        extract = partial(extract_toc, found, expected=toc_digest)
        raw_toc = await trio.to_thread.run_sync(extract)
        return await self._compile(blob, _record(blob, found, toc_digest), raw_toc)

    async def _compile(self, blob: LayerBlob, record: LayerRecord, raw_toc: bytes) -> CompiledLayer:
        directory = await trio.to_thread.run_sync(self._directories.begin)
        compilation = Compilation(
            record=record,
            directory=str(directory),
            is_shown_by_erofs=self.is_shown_by_erofs,
        )
        try:
            parse_seconds = await self._compiler.compile(compilation, raw_toc)
        except (TocError, CompilerLostError, OSError):
            await trio.to_thread.run_sync(self._directories.give_up, directory)
            raise
        self._node.durations.observe(Operation.TOC_PARSE, parse_seconds)
        return CompiledLayer(blob, record, directory)

    async def keep(self, layer: CompiledLayer, *, toc_digest: Digest) -> OpenedLayer:
        """Opens a compiled layer, and keeps it, if it has the TOC it should have; deletes it if not.

        Raises:
            DigestMismatchError: it has another one.
            LayerStateError: what was compiled is damaged.
            OSError: the disk is full or broken.
        """
        actual = Digest.parse(layer.record.toc_digest)
        if actual != toc_digest:
            await trio.to_thread.run_sync(self._directories.give_up, layer.directory)
            raise DigestMismatchError("the layer's TOC", expected=toc_digest, actual=actual)
        image, store = await trio.to_thread.run_sync(self._keep, layer)
        return OpenedLayer(layer.record, image, store, layer.blob, time.time())

    def _keep(self, layer: CompiledLayer) -> tuple[LayerImage, ChunkStore]:
        digest = layer.blob.digest
        try:
            self._directories.put(digest, layer.directory)
        except OSError:
            self._directories.give_up(layer.directory)
            raise
        image = self._directories.map_image(digest, layer.record)
        return image, self._open_store(digest, image)

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
        with self._node.durations.measured(Operation.TOC_PARSE):
            toc = parse_toc(raw_toc)
        image = compile_layer(toc, payload_bytes=record.payload_bytes, codec=record.codec)
        self._directories.replace_image(digest, record, image)
        return self._directories.map_image(digest, record)

    def _open_store(self, digest: Digest, image: LayerImage) -> ChunkStore:
        directory = self._directories.path(digest)
        return ChunkStore(directory, image.chunks, data_bytes=image.data_bytes, usage=self._usage)


def _record(blob: LayerBlob, found: FoundToc, toc_digest: Digest) -> LayerRecord:
    return LayerRecord(
        reference=str(blob.reference),
        layer_digest=str(blob.digest),
        toc_digest=str(toc_digest),
        codec=found.codec,
        payload_bytes=found.payload_bytes,
        blob_bytes=found.blob_bytes,
    )
