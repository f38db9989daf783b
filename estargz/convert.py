"""Image in, eStargz image out: every platform, every layer, each distinct layer once.

Images come from and go to an ``ImageStore``. Layers pass through temporary files: compressed stream to
tar (both verified), tar to blob, blob to the target. The target's name is written last, so a conversion
that fails leaves nothing that could be mistaken for an image, and its temporary files are gone.
"""

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from estargz.errors import ConversionError
from estargz.external_toc import push_toc_image
from estargz.image_reading import SourceArtifact, SourceImage, SourceManifest, read_image
from estargz.image_rewriting import ConvertedLayer, rewrite_config, rewrite_index, rewrite_manifest
from estargz.layer_pipeline import LayerPipeline
from estargz.planning import WriterOptions
from estargz.prefetching import PrefetchRequest, plan_prefetch
from estargz.progress import OnEvent
from estargz.reuse import find_lazy_layers
from estargz.toc_image import make_toc_image
from registry.digest import Digest
from registry.images import ImageStore
from registry.manifest import Index, Manifest, Platform, dump_manifest


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionOptions:
    """How images are converted.

    Attributes:
        writer: how blobs are written.
        platforms: which images of an index to convert, the others are left out; without any, all.
        prefetch: which files come first.
        reuse: whether lazy layers are kept as they are, though ``writer`` says another size of chunks or another
            level. Not kept are those with another compression, and those that have files which are to come first.
        threads: how many compress at the same time, over all layers; never changes the result.
        layers_at_once: how many layers are under way; each needs disk for its tar and its blob.
        max_layer_bytes: a layer that unpacks to more is refused.
        work_directory: where temporary files go; None for the system's place.
    """

    writer: WriterOptions = field(default_factory=WriterOptions)
    platforms: tuple[Platform, ...] = ()
    prefetch: PrefetchRequest = field(default_factory=PrefetchRequest)
    reuse: bool = True
    threads: int = field(default_factory=_usable_cpus)
    layers_at_once: int = 2
    max_layer_bytes: int = 1 << 40
    work_directory: Path | None = None

    def __post_init__(self) -> None:
        if min(self.threads, self.layers_at_once, self.max_layer_bytes) < 1:
            raise ValueError("threads, layers_at_once and max_layer_bytes must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedImage:
    """One platform's image before and after; ``platform`` is empty where no index names it."""

    platform: str
    source_digest: Digest
    digest: Digest
    layers: tuple[ConvertedLayer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionResult:
    """What a conversion made.

    Attributes:
        source_digest: of the manifest or index that was converted.
        digest: of the manifest or index that was written.
        media_type: its type.
        images: one, or as many as the index lists, in its order. Foreign layers are not among theirs.
        left_out: attestations about the original images; they would be wrong about the new ones.
        seconds: how long it took, all in all.
    """

    source_digest: Digest
    digest: Digest
    media_type: str
    images: tuple[ConvertedImage, ...]
    left_out: tuple[Digest, ...]
    seconds: float = field(default=0.0, compare=False)


async def convert_image(
    source: ImageStore,
    target: ImageStore,
    options: ConversionOptions,
    *,
    progress: OnEvent,
    toc_target: ImageStore | None = None,
) -> ConversionResult:
    """Converts an image, or all images of an index.

    Args:
        source: where it is; everything read is verified.
        target: where the result goes, under that store's name.
        options: how to convert.
        progress: told what happens.
        toc_target: where TOCs go that are not in the blobs: the image named by ``external_toc.toc_reference``.

    Raises:
        ConversionError: the image, or a part of it, cannot be converted; or TOCs have no place to go to.
        DigestMismatchError: the source gave other bytes than it promised.
        ContentError: a store failed.
        OSError: there is no room for temporary files.
    """
    if options.writer.makes_external_toc and toc_target is None:
        raise ConversionError("to layers without a TOC", "the TOCs have no place to go to")
    begun = trio.current_time()
    image = await read_image(source, platforms=options.platforms)
    prefetch = plan_prefetch(options.prefetch, image.manifests)
    kept: Mapping[Digest, ConvertedLayer] = {}
    if options.reuse:
        kept = await find_lazy_layers(
            source, image.manifests, codec=options.writer.codec, prefetch=prefetch
        )
    with (
        tempfile.TemporaryDirectory(prefix="pyestargz-", dir=options.work_directory) as directory,
        ThreadPoolExecutor(options.threads, "compress") as pool,
    ):
        pipeline = LayerPipeline(
            source=source,
            target=target,
            writer=options.writer,
            prefetch=prefetch,
            directory=Path(directory),
            pool=pool,
            window=2 * options.threads + 2,
            layers_at_once=options.layers_at_once,
            max_layer_bytes=options.max_layer_bytes,
            progress=progress,
        )
        distinct = {
            layer.digest: layer
            for manifest in image.manifests
            for layer in manifest.layers
            if not layer.foreign
        }
        converted = await pipeline.convert(list(distinct.values()), kept=kept)
        await _write_tocs(converted, toc_target, Path(directory))
        result = await _write_image(image, converted, pipeline)
    return replace(result, seconds=trio.current_time() - begun)


async def _write_image(
    image: SourceImage, converted: Mapping[Digest, ConvertedLayer], pipeline: LayerPipeline
) -> ConversionResult:
    manifests = {
        source.digest: await _write_config(source, converted, pipeline)
        for source in image.manifests
    }
    children = {digest: dump_manifest(manifest) for digest, manifest in manifests.items()}
    root: Manifest | Index
    if image.index is None:
        root = manifests[image.digest]
    else:
        for artifact in image.artifacts:
            await _copy_artifact(artifact, pipeline)
        unchanged = frozenset(artifact.manifest.digest for artifact in image.artifacts)
        root = rewrite_index(image.index, children, unchanged=unchanged)
        for raw, manifest in zip(children.values(), manifests.values(), strict=True):
            await pipeline.target.push_manifest(raw, manifest.media_type, tagged=False)
    raw = dump_manifest(root)
    await pipeline.target.push_manifest(raw, root.media_type, tagged=True)
    return ConversionResult(
        source_digest=image.digest,
        digest=Digest.of(raw),
        media_type=root.media_type,
        images=tuple(
            ConvertedImage(
                platform=source.platform,
                source_digest=source.digest,
                digest=Digest.of(children[source.digest]),
                layers=tuple(
                    converted[layer.digest] for layer in source.layers if not layer.foreign
                ),
            )
            for source in image.manifests
        ),
        left_out=image.left_out,
    )


async def _write_tocs(
    converted: Mapping[Digest, ConvertedLayer], target: ImageStore | None, directory: Path
) -> None:
    tocs = {layer.digest: layer.external_toc for layer in converted.values() if layer.external_toc}
    if tocs and target is not None:
        await push_toc_image(target, make_toc_image(tocs), directory)


async def _copy_artifact(artifact: SourceArtifact, pipeline: LayerPipeline) -> None:
    for blob in artifact.blobs:
        await pipeline.copy(blob)
    manifest = artifact.manifest
    await pipeline.target.push_manifest(manifest.data, manifest.media_type, tagged=False)


async def _write_config(
    source: SourceManifest, converted: Mapping[Digest, ConvertedLayer], pipeline: LayerPipeline
) -> Manifest:
    diff_ids = [
        layer.diff_id if layer.foreign else converted[layer.digest].diff_id
        for layer in source.layers
    ]
    config = rewrite_config(source.config, diff_ids)
    path = pipeline.directory / "config.json"
    path.write_bytes(config)
    await pipeline.push(Digest.of(config), path, report=_ignore)
    return rewrite_manifest(source.manifest, config, converted)


def _ignore(_delta: int) -> None:
    pass
