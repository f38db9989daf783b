"""Looking at an image: which of its layers can be read lazily, and why not the others.

Without the check, what manifests say is reported; with it, the TOC of every annotated layer is really
opened, by the same few requests that mounting it would cost.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from estargz.errors import EstargzError
from estargz.gathering import gather
from estargz.image_selection import is_wanted, require_platforms
from estargz.toc import (
    PREFETCH_LANDMARK,
    TOC_DIGEST_ANNOTATION,
    UNCOMPRESSED_SIZE_ANNOTATION,
    Toc,
)
from estargz.toc_reading import read_toc
from registry.digest import Digest
from registry.errors import InvalidDigestError
from registry.images import ImageStore
from registry.manifest import Descriptor, Index, Manifest, Platform, parse_manifest

_AT_ONCE: Final = 4
_SIZE: Final = re.compile(r"[0-9]{1,19}")
_ZSTD_CHUNKED_ANNOTATION: Final = "io.containers.zstd-chunked.manifest-checksum"


@dataclass(frozen=True, slots=True, kw_only=True)
class TocSummary:
    """What a TOC that was really opened says."""

    entries: int
    files: int
    chunks: int
    content_bytes: int
    toc_bytes: int
    prefetch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer.

    Attributes:
        toc_digest: as annotated, whether or not it is a digest; empty without the annotation.
        uncompressed_bytes: as annotated; None where it is not.
        not_lazy_because: empty for a lazy layer.
        toc: None where it was not, or could not be, opened.
    """

    digest: Digest
    media_type: str
    blob_bytes: int
    toc_digest: str
    uncompressed_bytes: int | None
    not_lazy_because: str
    toc: TocSummary | None

    @property
    def lazy(self) -> bool:
        """Whether the layer can be mounted without being pulled."""
        return not self.not_lazy_because


@dataclass(frozen=True, slots=True)
class ManifestReport:
    """One manifest and its layers; ``platform`` is empty where no index names it."""

    digest: Digest
    platform: str
    layers: tuple[LayerReport, ...]


@dataclass(frozen=True, slots=True)
class ImageReport:
    """All that a name stands for."""

    digest: Digest
    media_type: str
    manifests: tuple[ManifestReport, ...]


async def inspect_image(
    source: ImageStore, *, check: bool, platforms: Sequence[Platform] = ()
) -> ImageReport:
    """Looks at an image.

    Args:
        source: where the image is.
        check: whether to open the TOCs.
        platforms: which images of an index to look at; without any, all.

    Raises:
        ContentError: the store failed, or a manifest is malformed.
        PlatformError: there is no image for one of the platforms.
    """
    root = await source.fetch_manifest()
    document = parse_manifest(root.data, media_type=root.media_type)
    if isinstance(document, Manifest):
        only = await _manifest_report(source, document, root.digest, "", check=check)
        return ImageReport(root.digest, document.media_type, (only,))
    require_platforms([child.platform for child in document.manifests], platforms)
    reports = []
    for child in document.manifests:
        if not is_wanted(child.platform, platforms):
            continue
        raw = await source.fetch_manifest(child.digest)
        manifest = parse_manifest(raw.data, media_type=child.media_type)
        if not isinstance(manifest, Index):
            platform = str(child.platform) if child.platform else ""
            reports.append(
                await _manifest_report(source, manifest, child.digest, platform, check=check)
            )
    return ImageReport(root.digest, document.media_type, tuple(reports))


async def _manifest_report(
    source: ImageStore, manifest: Manifest, digest: Digest, platform: str, *, check: bool
) -> ManifestReport:
    look = partial(_check_layer, source) if check else _believe_layer
    layers = await gather(look, manifest.layers, at_once=_AT_ONCE)
    return ManifestReport(digest, platform, tuple(layers))


async def _believe_layer(layer: Descriptor) -> LayerReport:
    return _report(layer, _reason_by_annotations(layer), None)


async def _check_layer(source: ImageStore, layer: Descriptor) -> LayerReport:
    reason = _reason_by_annotations(layer)
    if reason:
        return _report(layer, reason, None)
    try:
        summary = await _open_toc(source, layer)
    except EstargzError as error:
        return _report(layer, str(error), None)
    return _report(layer, "", summary)


def _report(layer: Descriptor, reason: str, toc: TocSummary | None) -> LayerReport:
    size = layer.annotations.get(UNCOMPRESSED_SIZE_ANNOTATION, "")
    return LayerReport(
        digest=layer.digest,
        media_type=layer.media_type,
        blob_bytes=layer.size,
        toc_digest=layer.annotations.get(TOC_DIGEST_ANNOTATION, ""),
        uncompressed_bytes=int(size) if _SIZE.fullmatch(size) else None,
        not_lazy_because=reason,
        toc=toc,
    )


def _reason_by_annotations(layer: Descriptor) -> str:
    text = layer.annotations.get(TOC_DIGEST_ANNOTATION)
    if text is None:
        if _ZSTD_CHUNKED_ANNOTATION in layer.annotations:
            return "it is zstd:chunked, but its TOC digest is not annotated as containerd needs it"
        return "no TOC digest is annotated"
    try:
        Digest.parse(text)
    except InvalidDigestError as error:
        return f"its TOC annotation is wrong: {error}"
    return ""


async def _open_toc(source: ImageStore, layer: Descriptor) -> TocSummary:
    expected = Digest.parse(layer.annotations[TOC_DIGEST_ANNOTATION])
    opened = await read_toc(source, layer.digest, expected=expected)
    return _summary(opened.toc, toc_bytes=opened.toc_bytes)


def _summary(toc: Toc, *, toc_bytes: int) -> TocSummary:
    types = Counter(entry.type for entry in toc.entries)
    return TocSummary(
        entries=len(toc.entries),
        files=types["reg"],
        chunks=sum(1 for entry in toc.entries if entry.chunk_digest),
        content_bytes=sum(entry.size for entry in toc.entries if entry.type == "reg"),
        toc_bytes=toc_bytes,
        prefetch=any(entry.name == PREFETCH_LANDMARK for entry in toc.entries),
    )
