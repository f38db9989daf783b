import gzip
import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec, decompress_start, inflate_all
from estargz.errors import CorruptMemberError

_contents = st.binary(min_size=1, max_size=300)
_COMPRESS: dict[Codec, Callable[[bytes], bytes]] = {
    Codec.GZIP: gzip.compress,
    Codec.ZSTD: zstandard.ZstdCompressor().compress,
}
_codecs = st.sampled_from(Codec)


@given(_contents, st.binary(max_size=50), _codecs, st.data())
def test_the_start_is_given_and_what_follows_ignored(
    content: bytes, behind: bytes, codec: Codec, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(content)))
    member = _COMPRESS[codec](content) + behind
    assert decompress_start(member, size=size, blob_offset=0, codec=codec) == content[:size]


@settings(max_examples=300, derandomize=True)
@given(_codecs, st.binary(max_size=200), st.integers(1, 1000))
def test_whatever_is_no_member_is_corrupt_or_decompressed(
    codec: Codec, data: bytes, size: int
) -> None:
    try:
        assert len(decompress_start(data, size=size, blob_offset=0, codec=codec)) == size
    except CorruptMemberError:
        return


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda _: b"garbage!", lambda member: member[:-9]],
    ids=["empty", "garbage", "cut"],
)
def test_what_does_not_hold_the_content_is_corrupt(
    codec: Codec, damage: Callable[[bytes], bytes]
) -> None:
    member = damage(_COMPRESS[codec](random.Random(0).randbytes(200)))
    with pytest.raises(CorruptMemberError) as caught:
        decompress_start(member, size=200, blob_offset=77, codec=codec)
    assert caught.value.offset == 77


@pytest.mark.parametrize("codec", Codec)
def test_more_content_than_there_is_cannot_be_had(codec: Codec) -> None:
    with pytest.raises(CorruptMemberError, match="3 bytes of content, expected 4"):
        decompress_start(_COMPRESS[codec](b"abc"), size=4, blob_offset=0, codec=codec)


@pytest.mark.parametrize("codec", Codec)
def test_a_bomb_is_not_unpacked(codec: Codec) -> None:
    bomb = _COMPRESS[codec](bytes(1 << 24))
    assert decompress_start(bomb, size=100, blob_offset=0, codec=codec) == bytes(100)


def test_the_size_that_a_frame_declares_is_not_believed() -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_checksum=False).compress(b"x" * 300))
    assert frame[4] >> 6 == 1  # two bytes of content size, less 256, behind the frame's descriptor
    frame[5:7] = b"\xff\xff"
    with pytest.raises(CorruptMemberError):
        decompress_start(bytes(frame), size=400, blob_offset=0, codec=Codec.ZSTD)


def test_a_frame_with_an_absurd_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = compressor.compress(b"abc") + compressor.flush()
    with pytest.raises(CorruptMemberError, match="memory"):
        decompress_start(frame, size=3, blob_offset=0, codec=Codec.ZSTD)


@given(_contents)
def test_a_whole_member_is_wanted(content: bytes) -> None:
    member = gzip.compress(content)
    assert inflate_all(member, max_bytes=len(content) + 1, blob_offset=0) == content
    with pytest.raises(CorruptMemberError):
        inflate_all(member[:-1], max_bytes=len(content) + 1, blob_offset=0)


def test_a_whole_member_that_is_too_long_is_refused() -> None:
    with pytest.raises(CorruptMemberError, match="longer than 1000"):
        inflate_all(gzip.compress(bytes(1 << 24)), max_bytes=1000, blob_offset=0)


@pytest.mark.parametrize("member", [b"", b"garbage"])
def test_what_is_no_whole_member_is_refused(member: bytes) -> None:
    with pytest.raises(CorruptMemberError):
        inflate_all(member, max_bytes=100, blob_offset=77)


def test_a_wrong_checksum_is_noticed_where_the_whole_member_is_wanted() -> None:
    member = bytearray(gzip.compress(b"abc"))
    member[-8] ^= 1
    with pytest.raises(CorruptMemberError, match="checksum"):
        inflate_all(bytes(member), max_bytes=100, blob_offset=0)
