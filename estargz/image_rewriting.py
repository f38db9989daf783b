"""What becomes of manifests, configs and indexes when their layers are converted. No I/O.

The new image says everything the old one said: unknown fields of the config, history, annotations,
platforms. What changes is what must: digests, sizes, media types (OCI's, because docker's manifests have no place
for a layer's annotations), and the annotations that describe how a blob is compressed.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from estargz.codec import Codec
from estargz.errors import ConversionError
from estargz.layer_source import LayerSource
from estargz.toc import TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION
from registry.digest import Digest
from registry.errors import InvalidDigestError
from registry.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_FOREIGN,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
)

_CONFIG_TYPES: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_LAYER_TYPES: Final = frozenset(
    {OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD}
)
_LAYER_TYPE_OF: Final = {Codec.GZIP: OCI_LAYER_GZIP, Codec.ZSTD: OCI_LAYER_ZSTD}
_FOREIGN_PREFIX: Final = "application/vnd.oci.image.layer.nondistributable."
_ATTESTATION_ANNOTATION: Final = "vnd.docker.reference.type"
_STALE_ANNOTATION_PREFIXES: Final = (
    TOC_DIGEST_ANNOTATION,
    UNCOMPRESSED_SIZE_ANNOTATION,
    "io.containers.zstd-chunked.",
    "io.github.containers.zstd-chunked.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedLayer:
    """One layer before and after; the same one, if it was ``kept`` because it was lazy already.

    Attributes:
        source_digest: of the old blob.
        source_bytes: its size.
        digest: of the new blob.
        blob_bytes: its size.
        diff_id: digest of its tar.
        uncompressed_bytes: size of its tar.
        toc_digest: digest of its TOC.
        toc_entries: how many entries the TOC has.
        kept: whether the old blob is the new one.
        codec: how the new blob is compressed.
        annotations: what its descriptor must say.
        external_toc: its compressed TOC, if that is not in the blob.
        missing: paths that were to come first, but are not in the layer.
    """

    source_digest: Digest
    source_bytes: int
    digest: Digest
    blob_bytes: int
    diff_id: Digest
    uncompressed_bytes: int
    toc_digest: Digest
    toc_entries: int
    kept: bool = False
    codec: Codec = Codec.GZIP
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    external_toc: bytes = b""
    missing: tuple[str, ...] = ()


def is_attestation(child: Descriptor) -> bool:
    """Whether a child of an index only states something about another child, by its digest."""
    return _ATTESTATION_ANNOTATION in child.annotations


def is_artifact(manifest: Manifest) -> bool:
    """Whether a manifest is that of something else than a container image."""
    return bool(manifest.artifact_type) or manifest.config.media_type not in _CONFIG_TYPES


def is_foreign(layer: Descriptor) -> bool:
    """Whether a layer must not be distributed, and is had from the places that its descriptor names."""
    kind = layer.media_type
    return kind == DOCKER_LAYER_FOREIGN or kind.startswith(_FOREIGN_PREFIX)


def require_image(manifest: Manifest, digest: Digest) -> None:
    """Checks that a manifest is that of a container image whose layers are known.

    Raises:
        ConversionError: it is not, or a layer is of unknown type.
    """
    what = f"manifest {digest}"
    if manifest.config.media_type not in _CONFIG_TYPES:
        kind = manifest.artifact_type or manifest.config.media_type
        raise ConversionError(what, f"it is an artifact of type {kind!r}, not an image")
    for layer in manifest.layers:
        if layer.media_type not in _LAYER_TYPES and not is_foreign(layer):
            reason = f"its media type {layer.media_type!r} is unknown"
            raise ConversionError(f"layer {layer.digest}", reason)


def layer_sources(manifest: Manifest, config: bytes, digest: Digest) -> tuple[LayerSource, ...]:
    """Pairs each layer with the digest that the config gives for its content.

    Raises:
        ConversionError: the config cannot be read, or speaks of other layers.
    """
    what = f"config {manifest.config.digest} of manifest {digest}"
    diff_ids = _diff_ids(config, what)
    if len(diff_ids) != len(manifest.layers):
        counts = f"it lists {len(diff_ids)} layers, the manifest has {len(manifest.layers)}"
        raise ConversionError(what, counts)
    return tuple(
        LayerSource(
            what=f"layer {layer.digest}",
            digest=layer.digest,
            blob_bytes=layer.size,
            diff_id=diff_id,
            foreign=is_foreign(layer),
        )
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    )


def rewrite_config(config: bytes, diff_ids: Sequence[Digest]) -> bytes:
    """The config with other layers; every other byte of its values stays.

    ``config`` is one that ``layer_sources`` has read.
    """
    fields = msgspec.json.decode(config, type=dict[str, msgspec.Raw])
    rootfs = msgspec.json.decode(fields["rootfs"], type=dict[str, msgspec.Raw])
    rootfs["diff_ids"] = msgspec.Raw(msgspec.json.encode([str(diff_id) for diff_id in diff_ids]))
    fields["rootfs"] = msgspec.Raw(msgspec.json.encode(rootfs))
    return msgspec.json.encode(fields)


def rewrite_manifest(
    manifest: Manifest, config: bytes, converted: Mapping[Digest, ConvertedLayer]
) -> Manifest:
    """The manifest of the converted image, with the rewritten config; foreign layers stay as they are."""
    return replace(
        manifest,
        media_type=OCI_MANIFEST,
        config=Descriptor(
            OCI_CONFIG, Digest.of(config), len(config), annotations=manifest.config.annotations
        ),
        layers=tuple(
            _rename_foreign(layer)
            if is_foreign(layer)
            else _rewrite_layer(layer, converted[layer.digest])
            for layer in manifest.layers
        ),
    )


def rewrite_index(
    index: Index, children: Mapping[Digest, bytes], *, unchanged: Container[Digest] = ()
) -> Index:
    """The index of the converted images.

    Args:
        index: the original.
        children: the new manifest for the digest of each old one.
        unchanged: children that stay as they are; others are left out.
    """
    manifests = tuple(
        child if child.digest in unchanged else _rewrite_child(child, children[child.digest])
        for child in index.manifests
        if child.digest in unchanged or child.digest in children
    )
    return replace(index, media_type=OCI_INDEX, manifests=manifests)


def _rewrite_child(child: Descriptor, raw: bytes) -> Descriptor:
    return replace(
        child,
        media_type=OCI_MANIFEST,
        digest=Digest.of(raw),
        size=len(raw),
        urls=(),
        data="",
    )


def _rename_foreign(layer: Descriptor) -> Descriptor:
    """OCI's word for docker's type: of its kind, docker has one alone."""
    if layer.media_type != DOCKER_LAYER_FOREIGN:
        return layer
    return replace(layer, media_type=f"{_FOREIGN_PREFIX}v1.tar+gzip")


def _rewrite_layer(layer: Descriptor, converted: ConvertedLayer) -> Descriptor:
    annotations = {
        key: value
        for key, value in layer.annotations.items()
        if converted.kept or not key.startswith(_STALE_ANNOTATION_PREFIXES)
    }
    annotations[TOC_DIGEST_ANNOTATION] = str(converted.toc_digest)
    annotations[UNCOMPRESSED_SIZE_ANNOTATION] = str(converted.uncompressed_bytes)
    annotations.update(converted.annotations)
    kind = _LAYER_TYPE_OF[converted.codec]
    return Descriptor(kind, converted.digest, converted.blob_bytes, annotations=annotations)


class _RootFs(msgspec.Struct):
    diff_ids: list[str]


class _Config(msgspec.Struct):
    rootfs: _RootFs


def _diff_ids(config: bytes, what: str) -> list[Digest]:
    try:
        # What is skipped is not looked at by the decoder; but "rewrite_config" reads all names.
        config.decode()
        rootfs = msgspec.json.decode(config, type=_Config).rootfs
        return [Digest.parse(text) for text in rootfs.diff_ids]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidDigestError) as error:
        raise ConversionError(what, f"it cannot be read: {error}") from error
