"""The TOC of a layer in a store: fetched by the few requests that mounting it would cost, and verified."""

from dataclasses import dataclass
from functools import partial

import trio

from estargz.codec import Codec
from estargz.errors import ExternalTocError, NotEstargzError
from estargz.external_toc import TOC_IMAGE_SUFFIX, read_external_toc
from estargz.opening import (
    FoundToc,
    Piece,
    RangeRequest,
    TailRequest,
    extract_toc,
    found_elsewhere,
    open_layer,
)
from estargz.toc import Toc, parse_toc
from registry.digest import Digest
from registry.errors import ContentError, InvalidReferenceError, LayoutError
from registry.images import ImageStore


@dataclass(frozen=True, slots=True)
class OpenedLayer:
    """A verified TOC, its size as JSON, where the content ends in the blob, and how that is compressed."""

    toc: Toc
    toc_bytes: int
    payload_bytes: int
    codec: Codec


async def read_toc(source: ImageStore, layer: Digest, *, expected: Digest) -> OpenedLayer:
    """Reads the TOC of a layer.

    Args:
        source: where the layer is.
        layer: the digest of its blob.
        expected: the digest that the manifest pins for the TOC.

    Raises:
        NotEstargzError: the layer has none.
        TocError: it cannot be read.
        DigestMismatchError: it is not the pinned one.
        ContentError: the store failed.
    """
    try:
        found = await _find(source, layer)
    except ExternalTocError as error:
        compressed = await _find_outside(source, layer, error)
        found = found_elsewhere(compressed, blob_bytes=error.blob_bytes)
    raw = await trio.to_thread.run_sync(partial(extract_toc, found, expected=expected))
    toc = await trio.to_thread.run_sync(parse_toc, raw)
    return OpenedLayer(toc, len(raw), found.payload_bytes, found.codec)


async def _find(source: ImageStore, layer: Digest) -> FoundToc:
    opening = open_layer()
    request = next(opening)
    while True:
        piece = await _answer(source, layer, request)
        try:
            request = opening.send(piece)
        except StopIteration as stop:
            found: FoundToc = stop.value
            return found


async def _find_outside(source: ImageStore, layer: Digest, reason: ExternalTocError) -> bytes:
    try:
        return await read_external_toc(source.sibling(TOC_IMAGE_SUFFIX), layer)
    except ContentError as error:
        # A layout's error does not tell an image that is missing from one that is damaged.
        if not error.absent and not isinstance(error, LayoutError | InvalidReferenceError):
            raise
        raise NotEstargzError(f"{reason.reason}, which is not there: {error}") from error


async def _answer(source: ImageStore, layer: Digest, request: TailRequest | RangeRequest) -> Piece:
    if isinstance(request, TailRequest):
        found = await source.read_blob_tail(layer, length=request.length)
    else:
        found = await source.read_blob_range(layer, start=request.start, length=request.length)
    return Piece(found.start, found.data, found.blob_bytes)
