"""Reading what an image consists of, before any layer is touched: all that can be refused is refused here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from estargz.errors import ConversionError
from estargz.image_rewriting import is_artifact, is_attestation, layer_sources, require_image
from estargz.image_selection import config_platform, is_wanted, require_platforms
from estargz.layer_source import LayerSource
from registry.digest import Digest
from registry.images import ImageStore
from registry.manifest import (
    INDEX_TYPES,
    Descriptor,
    Index,
    Manifest,
    Platform,
    RawManifest,
    parse_manifest,
)

_MAX_CONFIG_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class SourceManifest:
    """One platform's image: its manifest, its raw config, and its layers in the manifest's order."""

    digest: Digest
    platform: str
    manifest: Manifest
    config: bytes
    layers: tuple[LayerSource, ...]


@dataclass(frozen=True, slots=True)
class SourceArtifact:
    """What an index lists besides images, as a chart or a list of materials: a manifest, and the blobs it names."""

    manifest: RawManifest
    blobs: tuple[LayerSource, ...]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """What a name stands for: one manifest, or an index of several and of artifacts."""

    digest: Digest
    index: Index | None
    manifests: tuple[SourceManifest, ...]
    left_out: tuple[Digest, ...]
    artifacts: tuple[SourceArtifact, ...] = ()


async def read_image(source: ImageStore, *, platforms: Sequence[Platform] = ()) -> SourceImage:
    """Reads manifests and configs.

    Args:
        source: where the image is.
        platforms: which images of an index to read; without any, all.

    Raises:
        ConversionError: it is no image, has none for one of the platforms, or a part that cannot be converted.
        ContentError: the store failed, or a manifest is malformed.
    """
    root = await source.fetch_manifest()
    document = parse_manifest(root.data, media_type=root.media_type)
    if isinstance(document, Manifest):
        only = await _read_manifest(source, document, root.digest, "")
        require_platforms([config_platform(only.config)], platforms)
        return _consistent(SourceImage(root.digest, None, (only,), ()))
    return await _read_index(source, root.digest, document, platforms)


async def _read_index(
    source: ImageStore, digest: Digest, index: Index, platforms: Sequence[Platform]
) -> SourceImage:
    left_out = tuple(child.digest for child in index.manifests if is_attestation(child))
    images = [child for child in index.manifests if not is_attestation(child)]
    require_platforms([child.platform for child in images], platforms)
    manifests: dict[Digest, SourceManifest] = {}
    artifacts: dict[Digest, SourceArtifact] = {}
    for child in images:
        known = child.digest in manifests or child.digest in artifacts
        if known or not is_wanted(child.platform, platforms):
            continue
        if child.media_type in INDEX_TYPES:
            raise _nested(child)
        raw = await source.fetch_manifest(child.digest)
        manifest = parse_manifest(raw.data, media_type=child.media_type)
        if isinstance(manifest, Index):
            raise _nested(child)
        if is_artifact(manifest):
            artifacts[child.digest] = _artifact(raw, manifest)
            continue
        platform = str(child.platform) if child.platform else ""
        manifests[child.digest] = await _read_manifest(source, manifest, child.digest, platform)
    if not manifests:
        raise ConversionError(f"index {digest}", "it lists no image")
    image = SourceImage(
        digest, index, tuple(manifests.values()), left_out, tuple(artifacts.values())
    )
    return _consistent(image)


def _nested(child: Descriptor) -> ConversionError:
    return ConversionError(f"index {child.digest}", "it is nested in another index")


def _artifact(raw: RawManifest, manifest: Manifest) -> SourceArtifact:
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    sources = tuple(
        LayerSource(
            what=f"blob {digest} of artifact {raw.digest}",
            digest=digest,
            blob_bytes=blob.size,
            diff_id=digest,
        )
        for digest, blob in blobs.items()
    )
    return SourceArtifact(RawManifest(raw.data, manifest.media_type, raw.digest), sources)


async def _read_manifest(
    source: ImageStore, manifest: Manifest, digest: Digest, platform: str
) -> SourceManifest:
    require_image(manifest, digest)
    config = await source.read_blob(manifest.config.digest, max_bytes=_MAX_CONFIG_BYTES)
    return SourceManifest(
        digest, platform, manifest, config, layer_sources(manifest, config, digest)
    )


def _consistent(image: SourceImage) -> SourceImage:
    """Each blob is converted once, so all configs must agree on what it contains."""
    layers = {layer for manifest in image.manifests for layer in manifest.layers}
    for digest, count in Counter(layer.digest for layer in layers).items():
        if count > 1:
            reason = "the image's configs or manifests disagree on its content or size"
            raise ConversionError(f"layer {digest}", reason)
    return image
