import gzip
import hashlib
import random

import deflate
import pytest
from hypothesis import given, settings, strategies as st

from estargz.errors import CorruptMemberError, DigestMismatchError
from estargz.members import InnerSpan, compressed_bound, decode_member, inflate, inflate_all
from estargz.verify import VerifiedChunk

_contents = st.binary(min_size=1, max_size=300)


@given(_contents, st.binary(max_size=50), st.data())
def test_inflate_gives_a_prefix_and_ignores_what_follows(
    content: bytes, behind: bytes, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(content)))
    member = gzip.compress(content) + behind
    assert inflate(member, size=size, blob_offset=0) == content[:size]


@given(_contents, st.data())
def test_spans_are_cut_out_of_the_content(content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(content) - 1))
    spans = [InnerSpan(cut, len(content) - cut), InnerSpan(0, cut)]
    last, first = decode_member(gzip.compress(content), spans, blob_offset=0)
    assert bytes(first) + bytes(last) == content


@settings(max_examples=300)
@given(_contents, st.data())
def test_no_flipped_byte_goes_unnoticed(content: bytes, data: st.DataObject) -> None:
    member = bytearray(gzip.compress(content))
    position = data.draw(st.integers(0, len(member) - 1))
    member[position] ^= data.draw(st.integers(1, 255))
    digest = hashlib.sha256(content).digest()
    try:
        (decoded,) = decode_member(bytes(member), [InnerSpan(0, len(content))], blob_offset=0)
        chunk = VerifiedChunk("a", digest, decoded)
    except (CorruptMemberError, DigestMismatchError):
        return
    assert chunk.data == content


@pytest.mark.parametrize("member", [b"", b"garbage", gzip.compress(b"abc", mtime=0)[:12]], ids=repr)
def test_what_does_not_hold_the_content_is_corrupt(member: bytes) -> None:
    with pytest.raises(CorruptMemberError) as caught:
        inflate(member, size=3, blob_offset=77)
    assert caught.value.offset == 77
    with pytest.raises(CorruptMemberError):
        inflate_all(member, max_bytes=100, blob_offset=77)


def test_a_wrong_checksum_is_noticed_where_the_whole_member_is_wanted() -> None:
    member = bytearray(gzip.compress(b"abc"))
    member[-8] ^= 1
    with pytest.raises(CorruptMemberError, match="checksum"):
        inflate_all(bytes(member), max_bytes=100, blob_offset=0)


def test_more_content_than_there_is_cannot_be_had() -> None:
    with pytest.raises(CorruptMemberError, match="3 bytes of content, expected 4"):
        inflate(gzip.compress(b"abc"), size=4, blob_offset=0)


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(1 << 24))
    assert len(inflate(bomb, size=100, blob_offset=0)) == 100
    with pytest.raises(CorruptMemberError, match="longer than 1000"):
        inflate_all(bomb, max_bytes=1000, blob_offset=0)


@given(_contents)
def test_inflate_all_wants_the_whole_member(content: bytes) -> None:
    member = gzip.compress(content)
    assert inflate_all(member, max_bytes=len(content) + 1, blob_offset=0) == content
    with pytest.raises(CorruptMemberError):
        inflate_all(member[:-1], max_bytes=len(content) + 1, blob_offset=0)


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 100_000, 1 << 20])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_bound_holds_for_what_cannot_be_compressed(size: int, level: int) -> None:
    noise = random.Random(size).randbytes(size)
    bound = compressed_bound(size)
    assert len(gzip.compress(noise, level)) <= bound
    assert len(deflate.gzip_compress(noise, max(level, 1))) <= bound
