"""Decompression of gzip members, never past what the TOC declared.

A member's compressed length is recorded nowhere: it ends at the latest where the next one begins,
and may be followed by tar headers that belong to nobody. So content is taken up to the last wanted
byte and the rest is left alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from isal import isal_zlib

from estargz.errors import CorruptMemberError

_GZIP = 16 + isal_zlib.MAX_WBITS
# isal's stubs declare its exception class as an instance.
_InflateError = cast("type[Exception]", isal_zlib.error)


@dataclass(frozen=True, slots=True)
class InnerSpan:
    """Where a chunk lies in its member, in decompressed bytes."""

    offset: int
    size: int


def compressed_bound(content_bytes: int) -> int:
    """The most compressed bytes that this much content, and the tar headers before it, can take.

    Deflate stores what it cannot compress with 5 bytes for each block; an eighth more covers
    compressors with the smallest blocks, and the constant covers header and trailer.
    """
    return content_bytes + content_bytes // 8 + 4096


def inflate(data: bytes | memoryview, *, size: int, blob_offset: int) -> bytes:
    """Decompresses the first ``size`` bytes of the gzip member that ``data`` starts with.

    Args:
        data: the member, possibly with bytes of others behind it.
        size: how many decompressed bytes are wanted.
        blob_offset: where the member lies in its blob, for the error.

    Raises:
        CorruptMemberError: it is no gzip member, or it ends early.
    """
    decompressor = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        content: bytes = decompressor.decompress(data, size)
    except _InflateError as error:
        raise CorruptMemberError(offset=blob_offset, reason=str(error)) from error
    if len(content) != size:
        raise CorruptMemberError(
            offset=blob_offset, reason=f"{len(content)} bytes of content, expected {size}"
        )
    return content


def inflate_all(data: bytes | memoryview, *, max_bytes: int, blob_offset: int) -> bytes:
    """Decompresses a whole gzip member, of at most ``max_bytes`` decompressed.

    Raises:
        CorruptMemberError: it is no gzip member, it is cut short, or it is too long.
    """
    decompressor = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        content: bytes = decompressor.decompress(data, max_bytes)
    except _InflateError as error:
        raise CorruptMemberError(offset=blob_offset, reason=str(error)) from error
    if not decompressor.eof:
        reason = f"longer than {max_bytes} bytes" if len(content) == max_bytes else "cut short"
        raise CorruptMemberError(offset=blob_offset, reason=reason)
    return content


def decode_member(
    data: bytes | memoryview, spans: Sequence[InnerSpan], *, blob_offset: int
) -> Iterator[memoryview]:
    """Yields the content of each span of a member, in the order given.

    Raises:
        CorruptMemberError: the member does not hold the last of the spans.
    """
    end = max(span.offset + span.size for span in spans)
    content = memoryview(inflate(data, size=end, blob_offset=blob_offset))
    for span in spans:
        yield content[span.offset : span.offset + span.size]
