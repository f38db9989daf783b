import gzip
import hashlib
import random

import deflate
import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec
from estargz.errors import CorruptMemberError, DigestMismatchError
from estargz.members import InnerSpan, compressed_bound, decode_member
from estargz.verify import VerifiedChunk

_contents = st.binary(min_size=1, max_size=300)


def _compress(content: bytes, codec: Codec) -> bytes:
    if codec is Codec.GZIP:
        return gzip.compress(content)
    return zstandard.ZstdCompressor().compress(content)


@given(_contents, st.sampled_from(Codec), st.data())
def test_spans_are_cut_out_of_the_content(
    content: bytes, codec: Codec, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(content) - 1))
    spans = [InnerSpan(cut, len(content) - cut), InnerSpan(0, cut)]
    member = _compress(content, codec)
    last, first = decode_member(member, spans, blob_offset=0, codec=codec)
    assert bytes(first) + bytes(last) == content


def test_members_are_gzip_unless_said_otherwise() -> None:
    (content,) = decode_member(gzip.compress(b"abc"), [InnerSpan(1, 2)], blob_offset=0)
    assert bytes(content) == b"bc"


@settings(max_examples=300)
@given(_contents, st.sampled_from(Codec), st.data())
def test_no_flipped_byte_goes_unnoticed(content: bytes, codec: Codec, data: st.DataObject) -> None:
    member = bytearray(_compress(content, codec))
    position = data.draw(st.integers(0, len(member) - 1))
    member[position] ^= data.draw(st.integers(1, 255))
    digest = hashlib.sha256(content).digest()
    spans = [InnerSpan(0, len(content))]
    try:
        (decoded,) = decode_member(bytes(member), spans, blob_offset=0, codec=codec)
        chunk = VerifiedChunk("a", digest, decoded)
    except (CorruptMemberError, DigestMismatchError):
        return
    assert chunk.data == content


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 100_000, 1 << 20])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_bound_holds_for_what_cannot_be_compressed(size: int, level: int) -> None:
    noise = random.Random(size).randbytes(size)
    bound = compressed_bound(size)
    assert len(gzip.compress(noise, level)) <= bound
    assert len(deflate.gzip_compress(noise, max(level, 1))) <= bound
    zstd_bound = compressed_bound(size, Codec.ZSTD)
    assert len(zstandard.ZstdCompressor(level).compress(noise)) <= zstd_bound


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("size", [1, 4096, 131_071, 131_073, 300_000])
def test_the_bound_is_enough_for_the_start_of_a_long_member(codec: Codec, size: int) -> None:
    content = random.Random(size).randbytes(600_000)
    data = _compress(content, codec)[: compressed_bound(size, codec)]
    (start,) = decode_member(data, [InnerSpan(0, size)], blob_offset=0, codec=codec)
    assert bytes(start) == content[:size]
