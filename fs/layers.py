"""All layers that are attached: found by name, number or digest; opened once, whoever asks."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import trio

from estargz.errors import DigestMismatchError, EstargzError
from fs.cache import Cache
from fs.cache_usage import CacheSettings, CacheStatistics
from fs.checkpoints import save_all, save_regularly
from fs.compilers import Compiler, ThreadCompiler
from fs.durations import Durations, Operation
from fs.errors import FsError, StaleLayerError
from fs.fetch_counters import FetchStatistics
from fs.fetching import Fetcher
from fs.filling import Filler, FillSettings
from fs.layer import Layer, LayerStatistics
from fs.layer_directory import LayerDirectories
from fs.layer_opening import CompiledLayer, LayerOpener, OpenedLayer
from fs.layer_source import LayerSource
from fs.node_traffic import NodeTraffic
from fs.request_planning import FetchSettings
from fs.request_slots import SlotSettings
from fs.sharing import Donor, SharedContent
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import ContentError, InvalidDigestError
from registry.reference import Reference

_log = logging.getLogger(__name__)
# Layers compiled ahead that nobody has claimed: an image's worth.
_MAX_AHEAD = 128


class LayerTable:
    """The attached layers. An async context manager: it owns all fetching, and ends it on leaving."""

    def __init__(  # noqa: PLR0913 - all but the first two are optional keywords
        self,
        client: RegistryClient,
        directories: LayerDirectories,
        *,
        fetching: FetchSettings | None = None,
        filling: FillSettings | None = None,
        slots: SlotSettings | None = None,
        caching: CacheSettings | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        self._node = NodeTraffic(slots)
        self.cache = Cache(directories.root, caching or CacheSettings())
        compiler = compiler or ThreadCompiler()
        self._opener = LayerOpener(client, directories, self._node, self.cache.usage, compiler)
        self._directories = directories
        self._fetching = fetching or FetchSettings()
        self._filler = Filler(self._node, filling or FillSettings())
        self._by_digest: dict[Digest, Layer] = {}
        self._by_number: dict[int, Layer] = {}
        self._compiled_ahead: dict[Digest, CompiledLayer] = {}
        self._opening: defaultdict[Digest, trio.Lock] = defaultdict(trio.Lock)
        self._next_number = 1
        # For layers that are not attached any more.
        self._fetched_before = FetchStatistics()
        self._nursery_manager = trio.open_nursery()
        self._nursery: trio.Nursery

    def __repr__(self) -> str:
        return f"<LayerTable {len(self._by_digest)} layers>"

    @property
    def durations(self) -> Durations:
        """How long operations take, of all layers."""
        return self._node.durations

    async def __aenter__(self) -> Self:
        self._nursery = await self._nursery_manager.__aenter__()
        self._nursery.start_soon(save_regularly, self._by_digest.values)
        self._nursery.start_soon(self.cache.keep_within, lambda: self._by_digest)
        for digest in await trio.to_thread.run_sync(self._directories.kept):
            self._nursery.start_soon(self._restore, digest)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._nursery.cancel_scope.cancel()
        await self._nursery_manager.__aexit__(kind, error, trace)
        with trio.CancelScope(shield=True):
            await save_all(self._by_digest.values())

    def use(
        self, *, fetching: FetchSettings, filling: FillSettings, caching: CacheSettings
    ) -> None:
        """Changes how layers are fetched that are attached from now on, and how much of all is kept.

        Raises:
            OSError: the disk is broken.
        """
        self.cache.use(caching)
        self._fetching = fetching
        self._filler = Filler(self._node, filling)

    def show_by_erofs(self) -> None:
        """Lets new layers come with an image for the kernel, so that nobody waits for it when they are mounted."""
        self._opener.is_shown_by_erofs = True

    async def attach(self, source: LayerSource) -> Layer:
        """Makes a layer readable; at once and without a request if it was attached before.

        The TOCs of its neighbours are fetched and compiled meanwhile.

        Raises:
            DigestMismatchError: its TOC is not the one that is named.
            EstargzError: it has no TOC that can be used.
            RegistryError: it cannot be fetched.
            FsError: it could not be compiled.
            OSError: the disk is full or broken.
        """
        for digest in source.neighbours:
            if digest not in self._by_digest and len(self._compiled_ahead) < _MAX_AHEAD:
                self._nursery.start_soon(self._compile_ahead, digest, source.reference)
        async with self._opening[source.digest]:
            layer = self._by_digest.get(source.digest) or await self._open_kept(source.digest)
            if layer is None:
                layer = await self._open_new(source)
            elif layer.toc_digest != source.toc_digest:
                raise DigestMismatchError(
                    f"the TOC of layer {source.digest}",
                    expected=source.toc_digest,
                    actual=layer.toc_digest,
                )
            layer.blob.reference = source.reference
            layer.last_used = time.time()
            self._node.gate.expect_demand()
            return layer

    async def wait_prefetched(self, digests: Iterable[Digest]) -> None:
        """Returns when a container may start on these layers; those that are not attached do not count."""
        known = (self._by_digest.get(digest) for digest in digests)
        with self.durations.measured(Operation.PREFETCHES):
            await self._filler.wait_prefetched([layer for layer in known if layer is not None])

    async def find(self, name: bytes) -> Layer:
        """The layer whose directory has that name; one that is only on disk is attached.

        Raises:
            StaleLayerError: no such layer is known here.
        """
        digest = _digest_of(name)
        layer = self._by_digest.get(digest)
        if layer is None and await trio.to_thread.run_sync(self._directories.exists, digest):
            async with self._opening[digest]:
                layer = self._by_digest.get(digest) or await self._open_kept(digest)
        if layer is None:
            raise StaleLayerError(str(digest))
        return layer

    def numbered(self, number: int) -> Layer:
        """The layer of that number.

        Raises:
            StaleLayerError: it is not attached any more.
        """
        layer = self._by_number.get(number)
        if layer is None:
            raise StaleLayerError(f"number {number}")
        return layer

    async def detach(self, digest: Digest) -> Layer | None:
        """Forgets a layer and deletes its files; gives the layer if it was attached."""
        async with self._opening[digest]:
            layer = self._by_digest.pop(digest, None)
            if layer is not None:
                del self._by_number[layer.number]
                layer.filling.cancel()
                layer.store.leave_cache()
                self._fetched_before += layer.fetcher.counters.snapshot()
                await trio.to_thread.run_sync(layer.store.retire)
            await trio.to_thread.run_sync(self._directories.remove, digest)
        return layer

    def __contains__(self, digest: Digest) -> bool:
        """Whether a layer is attached."""
        return digest in self._by_digest

    def __iter__(self) -> Iterator[Layer]:
        """The layers that are attached."""
        return iter(list(self._by_digest.values()))

    def statistics(self) -> list[LayerStatistics]:
        """What is attached, and what it cost."""
        return [layer.statistics() for layer in self._by_digest.values()]

    def fetch_statistics(self) -> FetchStatistics:
        """What fetching has cost for all layers, also for those that were detached since."""
        attached = (layer.fetcher.counters.snapshot() for layer in self._by_digest.values())
        return sum(attached, self._fetched_before)

    def cache_statistics(self) -> CacheStatistics:
        """What all layers together hold."""
        return self.cache.usage.statistics()

    async def _open_new(self, source: LayerSource) -> Layer:
        try:
            return await self._open_once(source)
        except EstargzError:
            # Another server of the registry may give the right bytes.
            if not await self._opener.blob(source.reference, source.digest).distrust():
                raise
        return await self._open_once(source)

    async def _open_once(self, source: LayerSource) -> Layer:
        compiled = self._compiled_ahead.pop(source.digest, None)
        if compiled is None:
            blob = self._opener.blob(source.reference, source.digest)
            compiled = await self._opener.compile(blob, toc_digest=source.toc_digest)
        opened = await self._opener.keep(compiled, toc_digest=source.toc_digest)
        donors = [Donor(layer.image.chunks, layer.store) for layer in self._by_digest.values()]
        self._nursery.start_soon(self._make_durable, source.digest)
        return self._enter(opened, donors, prefetch_bytes=source.prefetch_bytes)

    async def _make_durable(self, digest: Digest) -> None:
        """Flushes what a new layer was compiled into, which nobody should have to wait for."""
        try:
            await trio.to_thread.run_sync(self._directories.make_durable, digest)
        except OSError as error:
            fields = {"layer": str(digest), "error": str(error)}
            _log.info("layer not made durable", extra={"fields": fields})

    async def _compile_ahead(self, digest: Digest, reference: Reference) -> None:
        """Fetches and compiles the TOC of a layer that will be asked for; what fails now is told when it is."""
        async with self._opening[digest]:
            known = digest in self._by_digest or digest in self._compiled_ahead
            if known or await trio.to_thread.run_sync(self._directories.exists, digest):
                return
            blob = self._opener.blob(reference, digest)
            try:
                self._compiled_ahead[digest] = await self._opener.compile_ahead(blob)
            except (EstargzError, ContentError, FsError, OSError) as error:
                fields = {"layer": str(digest), "error": str(error)}
                _log.debug("layer not compiled ahead", extra={"fields": fields})

    async def _restore(self, digest: Digest) -> None:
        """Attaches a kept layer at start, so that nobody waits for it later."""
        async with self._opening[digest]:
            if digest not in self._by_digest:
                try:
                    await self._open_kept(digest)
                except (EstargzError, ContentError, OSError) as error:
                    fields = {"layer": str(digest), "error": str(error)}
                    _log.warning("kept layer cannot be opened yet", extra={"fields": fields})

    async def _open_kept(self, digest: Digest) -> Layer | None:
        opened = await self._opener.open_kept(digest)
        return None if opened is None else self._enter(opened)

    def _enter(
        self,
        opened: OpenedLayer,
        donors: Sequence[Donor] = (),
        *,
        prefetch_bytes: int | None = None,
    ) -> Layer:
        blob, image, store = opened.blob, opened.image, opened.store
        layer = Layer(
            self._next_number,
            opened,
            fetcher=Fetcher(self._nursery, blob, image, store, self._node, self._fetching),
            shared=SharedContent(image.chunks, store, donors),
            durations=self.durations,
        )
        store.join_cache()
        self._next_number += 1
        self._by_digest[blob.digest] = layer
        self._by_number[layer.number] = layer
        self._nursery.start_soon(self._fill, layer, prefetch_bytes)
        fields = {
            "layer": str(blob.digest),
            "reference": opened.record.reference,
            "state": repr(store),
        }
        _log.info("layer attached", extra={"fields": fields})
        return layer

    async def _fill(self, layer: Layer, prefetch_bytes: int | None) -> None:
        with layer.filling:
            await layer.shared.bring_all()
            await self._filler.fill(layer, prefetch_bytes=prefetch_bytes)
        layer.prefetched.set()
        layer.filled.set()


def _digest_of(name: bytes) -> Digest:
    try:
        return Digest.parse(name.decode().replace("-", ":", 1))
    except (InvalidDigestError, UnicodeDecodeError) as error:
        raise StaleLayerError(repr(name)) from error
