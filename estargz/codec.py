"""The two compressions a lazy layer may have: decompression that stops where it is told.

No size that the data declares about itself is believed: output is bounded by what the caller wants, and the memory of a
zstd frame by a limit on its window.
"""

from enum import StrEnum
from typing import assert_never, cast

import zstandard
from isal import isal_zlib

from estargz.errors import CorruptMemberError

_GZIP = 16 + isal_zlib.MAX_WBITS
_MAX_WINDOW_BYTES = 128 << 20  # what the zstd tool accepts without being told otherwise
# isal's stubs declare its exception class as an instance.
_InflateError = cast("type[Exception]", isal_zlib.error)


class Codec(StrEnum):
    """How the members of a blob are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"


def decompress_start(
    data: bytes | memoryview, *, size: int, blob_offset: int, codec: Codec
) -> bytes:
    """Decompresses the first ``size`` bytes of the member that ``data`` starts with.

    Args:
        data: the member, possibly with bytes of others behind it.
        size: how many decompressed bytes are wanted.
        blob_offset: where the member lies in its blob, for the error.
        codec: how it is compressed.

    Raises:
        CorruptMemberError: it is no such member, or it ends early.
    """
    try:
        content = _start_of(data, size, codec)
    except (_InflateError, zstandard.ZstdError) as error:
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
    inflater = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        content: bytes = inflater.decompress(data, max_bytes)
    except _InflateError as error:
        raise CorruptMemberError(offset=blob_offset, reason=str(error)) from error
    if not inflater.eof:
        reason = f"longer than {max_bytes} bytes" if len(content) == max_bytes else "cut short"
        raise CorruptMemberError(offset=blob_offset, reason=reason)
    return content


def _start_of(data: bytes | memoryview, size: int, codec: Codec) -> bytes:
    match codec:
        case Codec.GZIP:
            content: bytes = isal_zlib.decompressobj(wbits=_GZIP).decompress(data, size)
            return content
        case Codec.ZSTD:
            # One for each call: they are cheap, and two threads must not share one.
            decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            with decompressor.stream_reader(data) as frame:
                return frame.read(size)
        case _:
            assert_never(codec)
