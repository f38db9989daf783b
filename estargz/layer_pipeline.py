"""The way of a layer through a conversion: fetch and unpack, compress, push.

A few layers are under way at a time, and all share one pool of compressing threads: while one layer
waits for the network the other one has the processors. Each leaves its temporary files only as long as it needs them.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import trio

from estargz.blob_copy import copy_blob
from estargz.errors import ConversionError, UnsupportedTarError
from estargz.gathering import gather
from estargz.image_rewriting import ConvertedLayer
from estargz.layer_conversion import Report, convert_layer, read_names
from estargz.layer_input import unpack_blob
from estargz.layer_source import LayerSource
from estargz.planning import WriterOptions
from estargz.prefetching import LayerPrefetch
from estargz.progress import LayerAdvanced, LayerFinished, LayerPushed, LayerStarted, OnEvent, Phase
from registry.digest import Digest
from registry.images import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPipeline:
    """Converts layers from one store into another.

    Attributes:
        source: where layers come from.
        target: where they go.
        writer: how blobs are written.
        prefetch: what layers put first, by the digest of the old blob.
        directory: for temporary files.
        pool: where members are compressed.
        window: how many batches of members a layer may have in memory.
        layers_at_once: how many layers may be under way.
        max_layer_bytes: a layer that unpacks to more is refused.
        progress: told what happens, in the event loop's thread.
    """

    source: ImageStore
    target: ImageStore
    writer: WriterOptions
    prefetch: Mapping[Digest, LayerPrefetch] = field(default_factory=dict)
    directory: Path
    pool: Executor
    window: int
    layers_at_once: int
    max_layer_bytes: int
    progress: OnEvent

    async def convert(
        self, layers: Sequence[LayerSource], *, kept: Mapping[Digest, ConvertedLayer] | None = None
    ) -> Mapping[Digest, ConvertedLayer]:
        """Converts and pushes distinct layers.

        Args:
            layers: the layers.
            kept: those of them that are pushed as they are.

        Returns:
            The new layers, by the digest of the old blob.

        Raises:
            ConversionError: a layer cannot be converted. The others are given up.
            DigestMismatchError: a layer is not what it should be.
            ContentError: a store failed.
            OSError: there is no room for temporary files.
        """
        work = partial(self._bring, kept or {})
        converted = await gather(work, layers, at_once=self.layers_at_once)
        return {layer.digest: new for layer, new in zip(layers, converted, strict=True)}

    async def push(self, digest: Digest, path: Path, *, report: Report) -> bool:
        """Makes sure that the target has a blob; says whether it had it before."""
        if await self.target.has_blob(digest):
            return True
        await self.target.push_blob(digest, path, on_progress=report)
        return False

    async def copy(self, blob: LayerSource) -> None:
        """Makes sure that the target has a blob of the source, as it is; progress is not told.

        Raises:
            DigestMismatchError: the blob is not what it should be.
            ContentError: a store failed.
        """
        await self._transfer(blob, lambda _phase: _ignore)

    async def _bring(
        self, kept: Mapping[Digest, ConvertedLayer], layer: LayerSource
    ) -> ConvertedLayer:
        if layer.digest not in kept:
            return await self._convert_one(layer)
        await self._copy(layer, kept[layer.digest])
        return kept[layer.digest]

    async def _copy(self, layer: LayerSource, as_kept: ConvertedLayer) -> None:
        self.progress(LayerStarted(layer.digest, layer.blob_bytes))
        was_there = await self._transfer(
            layer, partial(self._reporter, layer, total=layer.blob_bytes)
        )
        self.progress(LayerFinished(layer.digest, as_kept))
        self.progress(LayerPushed(layer.digest, was_there))

    async def _transfer(self, blob: LayerSource, reporter: Callable[[Phase], Report]) -> bool:
        """Brings a blob over as it is; says whether that took no bytes."""
        if await self.target.has_blob(blob.digest):
            return True
        if await self.target.take_blob(blob.digest, self.source):
            return True
        path = self.directory / f"{blob.digest.file_name}.blob"
        try:
            with await trio.to_thread.run_sync(_create, path) as output:
                async with self.source.stream_blob(blob.digest) as pieces:
                    await copy_blob(pieces, blob, output, report=reporter(Phase.FETCH))
            push = self.target.push_blob
            await push(blob.digest, path, on_progress=reporter(Phase.PUSH))
        finally:
            _remove(path)
        return False

    async def _convert_one(self, layer: LayerSource) -> ConvertedLayer:
        tar = self.directory / f"{layer.digest.file_name}.tar"
        blob = self.directory / f"{layer.digest.file_name}.blob"
        self.progress(LayerStarted(layer.digest, layer.blob_bytes))
        try:
            await self._unpack(layer, tar)
            converted = await self._compress(layer, tar, blob)
            await trio.Path(tar).unlink()
            self.progress(LayerFinished(layer.digest, converted))
            report = self._reporter(layer, Phase.PUSH, converted.blob_bytes)
            was_there = await self.push(converted.digest, blob, report=report)
        finally:
            _remove(tar, blob)
        self.progress(LayerPushed(layer.digest, was_there))
        return converted

    async def _unpack(self, layer: LayerSource, tar: Path) -> None:
        with await trio.to_thread.run_sync(_create, tar) as output:
            async with self.source.stream_blob(layer.digest) as blob:
                await unpack_blob(
                    blob,
                    layer,
                    output,
                    max_content_bytes=self.max_layer_bytes,
                    report=self._reporter(layer, Phase.FETCH, layer.blob_bytes),
                )

    async def _compress(self, layer: LayerSource, tar: Path, blob: Path) -> ConvertedLayer:
        size = (await trio.Path(tar).stat()).st_size
        report = self._reporter(layer, Phase.COMPRESS, size)
        convert = partial(
            convert_layer,
            tar,
            blob,
            await self._writer_for(layer, tar),
            pool=self.pool,
            window=self.window,
            # In the event loop's thread; this is also where the work notices a cancellation.
            report=lambda delta: trio.from_thread.run_sync(report, delta),
        )
        try:
            finished = await trio.to_thread.run_sync(convert)
        except UnsupportedTarError as error:
            raise ConversionError(layer.what, str(error)) from error
        return ConvertedLayer(
            source_digest=layer.digest,
            source_bytes=layer.blob_bytes,
            digest=finished.digest,
            blob_bytes=finished.blob_bytes,
            diff_id=finished.diff_id,
            uncompressed_bytes=finished.uncompressed_bytes,
            toc_digest=finished.toc_digest,
            toc_entries=finished.toc_entries,
            codec=self.writer.codec,
            annotations=finished.annotations,
            external_toc=finished.external_toc,
            missing=finished.missing,
        )

    async def _writer_for(self, layer: LayerSource, tar: Path) -> WriterOptions:
        wanted = self.prefetch.get(layer.digest)
        if wanted is None:
            return self.writer
        try:
            names = await trio.to_thread.run_sync(read_names, tar)
        except UnsupportedTarError as error:
            raise ConversionError(layer.what, str(error)) from error
        return replace(self.writer, prefetch=wanted.choose(names))

    def _reporter(self, layer: LayerSource, phase: Phase, total: int) -> Report:
        def report(delta: int) -> None:
            self.progress(LayerAdvanced(layer.digest, phase, delta, total))

        return report


def _ignore(_delta: int) -> None:
    pass


def _create(path: Path) -> BinaryIO:
    return path.open("wb")


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
