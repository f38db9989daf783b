"""Opening a layer without doing the I/O: a generator that asks for bytes until it has the TOC.

    found = yield from open_layer(...)      # or drive it: next(), then send() a Piece for each request

One request is enough for almost every layer: the blob's tail brings footer and TOC together, and the
answer's ``Content-Range`` brings the blob's size.
"""

import io
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from typing import assert_never

from estargz.codec import Codec, decompress_start, inflate_all
from estargz.errors import (
    CorruptMemberError,
    DigestMismatchError,
    ExternalTocError,
    NotEstargzError,
    TocError,
)
from estargz.footer import (
    EXTERNAL_FOOTER_BYTES,
    FRAME_HEADER_BYTES,
    ExternalFooter,
    Footer,
    ZstdFooter,
    parse_footer,
)
from estargz.toc import TOC_NAME, TocLimits
from registry.digest import Digest

DEFAULT_TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class TailRequest:
    """The last ``length`` bytes of the blob are wanted; all of it, if it is shorter."""

    length: int


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """``length`` bytes from ``start`` on are wanted."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The answer to a request: bytes of the blob, where they begin, and the whole blob's size."""

    start: int
    data: bytes
    blob_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundToc:
    """The compressed TOC of a layer, not yet looked at.

    Attributes:
        compressed: the member that holds it.
        codec: how this member, and all others of the blob, are compressed.
        toc_offset: where it begins; for a TOC from elsewhere, where it would begin.
        blob_bytes: size of the whole blob.
        payload_bytes: where the last member with content ends at the latest.
        raw_bytes: size of the TOC as the footer gives it; None where it does not.
    """

    compressed: bytes
    codec: Codec = Codec.GZIP
    toc_offset: int
    blob_bytes: int
    payload_bytes: int
    raw_bytes: int | None = None


Opening = Generator[TailRequest | RangeRequest, Piece, FoundToc]


def open_layer(*, tail_bytes: int = DEFAULT_TAIL_BYTES, limits: TocLimits | None = None) -> Opening:
    """Asks for the pieces of a blob that hold its TOC.

    Raises:
        NotEstargzError: the blob has no footer.
        ExternalTocError: the blob's TOC is in another image.
        TocError: the footer points outside the blob, or the TOC is longer than ``limits`` allow.
    """
    limits = limits or TocLimits()
    tail = yield TailRequest(tail_bytes)
    start, end = _place(tail, limits)
    compressed = tail.data[max(start - tail.start, 0) : max(end - tail.start, 0)]
    if start < tail.start:
        head = yield RangeRequest(start, min(end, tail.start) - start)
        compressed = head.data + compressed
    footer = parse_footer(tail.data)
    is_zstd = isinstance(footer, ZstdFooter)
    return FoundToc(
        compressed=compressed,
        codec=Codec.ZSTD if is_zstd else Codec.GZIP,
        toc_offset=start,
        blob_bytes=tail.blob_bytes,
        payload_bytes=start - FRAME_HEADER_BYTES if is_zstd else start,
        raw_bytes=footer.raw_toc_bytes if isinstance(footer, ZstdFooter) else None,
    )


def found_elsewhere(compressed: bytes, *, blob_bytes: int) -> FoundToc:
    """What is known of a layer whose TOC came from another image: to go on after ``ExternalTocError``."""
    end = blob_bytes - EXTERNAL_FOOTER_BYTES
    return FoundToc(compressed=compressed, toc_offset=end, blob_bytes=blob_bytes, payload_bytes=end)


def extract_toc(found: FoundToc, *, expected: Digest, limits: TocLimits | None = None) -> bytes:
    """Decompresses a TOC and checks it against the digest that the manifest pins.

    Returns:
        The raw JSON. It costs CPU in proportion to its size: call it in a thread.

    Raises:
        NotEstargzError: there is no TOC where the footer says.
        TocError: it is larger than ``limits`` allow.
        DigestMismatchError: it is not the pinned one.
    """
    raw = unpack_toc(found, limits=limits)
    _check("the layer's TOC", raw, expected)
    return raw


def extract_zstd_toc(
    found: FoundToc, *, checksum: Digest, limits: TocLimits | None = None
) -> bytes:
    """Decompresses a TOC after checking it, compressed, against ``manifest-checksum``.

    That annotation is the only pin on the TOCs which podman's and CRI-O's libraries write.

    Raises:
        TocError: it is larger than ``limits`` allow.
        DigestMismatchError: it is not the pinned one.
    """
    _check("the layer's compressed TOC", found.compressed, checksum)
    return unpack_toc(found, limits=limits)


def _place(tail: Piece, limits: TocLimits) -> tuple[int, int]:
    """Where the compressed TOC begins and ends in the blob, as the footer says and within the blob."""
    footer = parse_footer(tail.data)
    if isinstance(footer, ExternalFooter):
        raise ExternalTocError(blob_bytes=tail.blob_bytes)
    start, limit = footer.toc_offset, tail.blob_bytes - footer.footer_bytes
    match footer:
        case Footer():
            end, is_inside = limit, 0 <= start < limit
        case ZstdFooter():
            end = start + footer.toc_bytes
            is_inside = FRAME_HEADER_BYTES <= start < end <= limit
        case _:
            assert_never(footer)
    if not is_inside:
        raise TocError("", f"the footer places it at {start}, the blob has {tail.blob_bytes}")
    if end - start > limits.max_toc_bytes:
        raise TocError("", f"{end - start} compressed bytes are more than is read")
    return start, end


def unpack_toc(found: FoundToc, *, limits: TocLimits | None = None) -> bytes:
    """Decompresses a TOC that nothing vouches for: to get ready for the moment when its digest is known.

    Raises:
        NotEstargzError: there is no TOC where the footer says.
        TocError: it is larger than ``limits`` allow.
    """
    limits = limits or TocLimits()
    try:
        match found.codec:
            case Codec.GZIP:
                return _unpack_tar(found, limits)
            case Codec.ZSTD:
                return _unpack_frame(found, limits)
            case _:
                assert_never(found.codec)
    except (CorruptMemberError, tarfile.TarError, ValueError, RecursionError) as error:
        raise TocError("", f"it cannot be unpacked: {error}") from error


def _unpack_tar(found: FoundToc, limits: TocLimits) -> bytes:
    content = inflate_all(
        found.compressed, max_bytes=limits.max_toc_bytes, blob_offset=found.toc_offset
    )
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        member = tar.next()
        if member is None or member.name != TOC_NAME or not member.isreg():
            raise NotEstargzError(f"no {TOC_NAME} where the footer says")
        return content[member.offset_data : member.offset_data + member.size]


def _unpack_frame(found: FoundToc, limits: TocLimits) -> bytes:
    size = found.raw_bytes or 0
    if size > limits.max_toc_bytes:
        raise TocError("", f"it is longer than {limits.max_toc_bytes} bytes")
    return decompress_start(
        found.compressed, size=size, blob_offset=found.toc_offset, codec=Codec.ZSTD
    )


def _check(what: str, data: bytes, expected: Digest) -> None:
    actual = Digest.of(data)
    if actual != expected:
        raise DigestMismatchError(what, expected=expected, actual=actual)
