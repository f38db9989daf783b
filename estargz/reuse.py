"""Which layers need no conversion, because they can be read lazily as they are.

What the manifest says of such a layer is not believed: its TOC is opened, compared with the pinned digest and
checked as a mount would check it. Who wrote the layer, and with which options, does not matter.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

import trio

from estargz.codec import Codec
from estargz.errors import EstargzError
from estargz.file_chunks import check_toc
from estargz.gathering import gather
from estargz.image_reading import SourceManifest
from estargz.image_rewriting import ConvertedLayer
from estargz.layer_source import LayerSource
from estargz.prefetching import LayerPrefetch
from estargz.toc import TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION, Toc
from estargz.toc_reading import read_toc
from registry.digest import Digest
from registry.errors import InvalidDigestError
from registry.images import ImageStore
from registry.manifest import Descriptor

_AT_ONCE: Final = 4
_SIZE: Final = re.compile(r"[0-9]{1,18}")


async def find_lazy_layers(
    source: ImageStore,
    manifests: Iterable[SourceManifest],
    *,
    codec: Codec,
    prefetch: Mapping[Digest, LayerPrefetch],
) -> Mapping[Digest, ConvertedLayer]:
    """The layers that can be kept, by the digest of their blob.

    Args:
        source: where the image is.
        manifests: its manifests.
        codec: layers that are compressed otherwise are not kept.
        prefetch: layers that have something of what they should put first are not kept.

    Raises:
        ContentError: the store failed.
    """
    candidates = {
        layer.digest: (layer, descriptor)
        for manifest in manifests
        for layer, descriptor in zip(manifest.layers, manifest.manifest.layers, strict=True)
        if TOC_DIGEST_ANNOTATION in descriptor.annotations and not layer.foreign
    }
    look = partial(_look, source, codec, prefetch)
    found = await gather(look, list(candidates.values()), at_once=_AT_ONCE)
    return {layer.digest: layer for layer in found if layer is not None}


async def _look(
    source: ImageStore,
    codec: Codec,
    prefetch: Mapping[Digest, LayerPrefetch],
    candidate: tuple[LayerSource, Descriptor],
) -> ConvertedLayer | None:
    layer, descriptor = candidate
    size = descriptor.annotations.get(UNCOMPRESSED_SIZE_ANNOTATION, "")
    if not _SIZE.fullmatch(size):
        return None
    try:
        toc_digest = Digest.parse(descriptor.annotations[TOC_DIGEST_ANNOTATION])
        opened = await read_toc(source, layer.digest, expected=toc_digest)
        check = partial(check_toc, opened.toc, payload_bytes=opened.payload_bytes)
        await trio.to_thread.run_sync(check)
    except (EstargzError, InvalidDigestError):
        return None
    if opened.codec is not codec or _must_move(opened.toc, prefetch.get(layer.digest)):
        return None
    return ConvertedLayer(
        source_digest=layer.digest,
        source_bytes=layer.blob_bytes,
        digest=layer.digest,
        blob_bytes=layer.blob_bytes,
        diff_id=layer.diff_id,
        uncompressed_bytes=int(size),
        toc_digest=toc_digest,
        toc_entries=len(opened.toc.entries),
        kept=True,
        codec=opened.codec,
    )


def _must_move(toc: Toc, wanted: LayerPrefetch | None) -> bool:
    if wanted is None:
        return False
    return wanted.choose(entry.name for entry in toc.entries if entry.type != "chunk") is not None
