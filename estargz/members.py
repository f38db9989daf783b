"""Members: from the compressed bytes of one to the content of its chunks.

A member's compressed length is recorded nowhere: it ends at the latest where the next one begins,
and may be followed by tar headers that belong to nobody. So content is taken up to the last wanted
byte and the rest is left alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from estargz.codec import Codec, decompress_start

_ZSTD_BLOCK_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class InnerSpan:
    """Where a chunk lies in its member, in decompressed bytes."""

    offset: int
    size: int


def compressed_bound(content_bytes: int, codec: Codec = Codec.GZIP) -> int:
    """The most compressed bytes that are needed to decompress this much from the start of a member.

    Deflate stores what it cannot compress with 5 bytes for each block; an eighth more covers
    compressors with the smallest blocks, and the constant covers header and trailer. Of zstd nothing can be
    decompressed before a whole block is there, which may hold far more than is wanted.
    """
    bound = content_bytes + content_bytes // 8 + 4096
    return bound if codec is Codec.GZIP else bound + _ZSTD_BLOCK_BYTES


def decode_member(
    data: bytes | memoryview,
    spans: Sequence[InnerSpan],
    *,
    blob_offset: int,
    codec: Codec = Codec.GZIP,
) -> Iterator[memoryview]:
    """Yields the content of each span of a member, in the order given; ``data`` may go on behind the member.

    Raises:
        CorruptMemberError: the member does not hold the last of the spans.
    """
    end = max(span.offset + span.size for span in spans)
    # Decompressors copy what they leave over, so they get no more than they may need.
    member = memoryview(data)[: compressed_bound(end, codec)]
    content = memoryview(decompress_start(member, size=end, blob_offset=blob_offset, codec=codec))
    for span in spans:
        yield content[span.offset : span.offset + span.size]
