import bz2
import gzip
import io
import lzma
import random
from collections.abc import AsyncIterator, Callable

import pytest
import zstandard
from hypothesis import given, strategies as st

from estargz.errors import ConversionError, DigestMismatchError
from estargz.layer_input import DecodeError, LayerDecoder, unpack_blob
from estargz.layer_source import LayerSource
from registry.digest import Digest

_SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"


def _zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def _zstd_of_unknown_size(content: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(content) + compressor.flush()


def _two(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda content: compress(content[:7]) + compress(content[7:])


_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip-members": _two(gzip.compress),
    "gzip-padded": lambda content: gzip.compress(content) + bytes(1000),
    "gzip-padded-members": lambda content: gzip.compress(content) + bytes(9) + gzip.compress(b""),
    "zstd": _zstd,
    "zstd-frames": _two(_zstd_of_unknown_size),
    "zstd-chunked": lambda content: _zstd(content) + _SKIPPABLE + _SKIPPABLE,
    "zstd-skippable-first": lambda content: _SKIPPABLE + _zstd(content),
    "plain": lambda content: b"plain" + content,
}


def _decode(data: bytes, step: int) -> bytes:
    decoder = LayerDecoder()
    pieces = [
        piece
        for start in range(0, len(data), step)
        for piece in decoder.feed(data[start : start + step])
    ]
    return b"".join([*pieces, *decoder.finish()])


@pytest.mark.parametrize("compression", _COMPRESSIONS)
@given(content=st.binary(max_size=2000), step=st.integers(1, 700))
def test_any_compression_is_undone_however_it_arrives(
    compression: str, content: bytes, step: int
) -> None:
    expected = b"plain" + content if compression == "plain" else content
    assert _decode(_COMPRESSIONS[compression](content), step) == expected


def test_nothing_is_an_empty_tar() -> None:
    assert _decode(b"", 1) == b""


@pytest.mark.parametrize(
    "compression", ["gzip", "gzip-members", "zstd", "zstd-frames", "zstd-chunked"]
)
@given(data=st.data())
def test_what_is_cut_short_is_noticed(compression: str, data: st.DataObject) -> None:
    content = random.Random(5).randbytes(300)
    compressed = _COMPRESSIONS[compression](content)
    length = data.draw(st.integers(8, len(compressed) - 1))
    try:
        decoded = _decode(compressed[:length], 50)
    except DecodeError:
        pass
    else:
        # Cut between members or frames; the digest tells.
        assert content.startswith(decoded)
        assert compression not in {"gzip", "zstd"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(b"a") + b"rubbish" * 9, "gzip data is corrupt"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 30, "gzip data is corrupt"),
        (_zstd(b"a") + b"rubbish", "zstd data is corrupt"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 30, "zstd data is corrupt"),
        (bz2.compress(b"a"), "bzip2"),
        (lzma.compress(b"a"), "xz"),
    ],
    ids=["gzip-tail", "gzip", "zstd-tail", "zstd", "bzip2", "xz"],
)
def test_what_cannot_be_decompressed_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        _decode(data, 1000)


@pytest.mark.parametrize("compress", [gzip.compress, _zstd], ids=["gzip", "zstd"])
def test_bombs_arrive_in_bounded_pieces(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(64 << 20))
    sizes = [len(piece) for piece in LayerDecoder().feed(bomb)]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 33 << 20


async def _arriving(data: bytes, step: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


def _source(blob: bytes, content: bytes) -> LayerSource:
    return LayerSource(
        what="layer x", digest=Digest.of(blob), blob_bytes=len(blob), diff_id=Digest.of(content)
    )


async def _unpack(
    blob: bytes, source: LayerSource, *, max_content_bytes: int = 1 << 30
) -> tuple[bytes, list[int]]:
    output, reports = io.BytesIO(), list[int]()
    await unpack_blob(
        _arriving(blob), source, output, max_content_bytes=max_content_bytes, report=reports.append
    )
    return output.getvalue(), reports


async def test_a_blob_is_unpacked_and_all_of_it_is_reported() -> None:
    content = random.Random(3).randbytes(900_000)
    blob = gzip.compress(content)
    unpacked, reports = await _unpack(blob, _source(blob, content))
    assert unpacked == content
    assert sum(reports) == len(blob)
    assert len(reports) > 2


async def test_sha512_digests_are_honoured() -> None:
    blob = gzip.compress(b"content")
    digest = Digest.parse(
        "sha512:b2d1d285b5199c85f988d03649c37e44fd3dde01e5d69c50fef90651962f48110e9340b60d49"
        "a479c4c0b53f5f07d690686dd87d2481937a512e8b85ee7c617f"
    )
    source = LayerSource(
        what="layer x", digest=Digest.of(blob), blob_bytes=len(blob), diff_id=digest
    )
    assert (await _unpack(blob, source))[0] == b"content"


async def test_another_blob_is_not_accepted() -> None:
    blob, other = gzip.compress(b"content", mtime=1), gzip.compress(b"content", mtime=2)
    with pytest.raises(DigestMismatchError, match=r"^layer x has digest"):
        await _unpack(other, _source(blob, b"content"))


async def test_other_content_is_not_accepted() -> None:
    blob = gzip.compress(b"content")
    with pytest.raises(DigestMismatchError, match="uncompressed content of layer x"):
        await _unpack(blob, _source(blob, b"another content"))


async def test_a_blob_longer_than_promised_is_given_up() -> None:
    blob = gzip.compress(b"content")
    with pytest.raises(ConversionError, match="longer than"):
        await _unpack(blob + bytes(1 << 20), _source(blob, b"content"))


async def test_a_tar_larger_than_allowed_is_given_up() -> None:
    blob = gzip.compress(bytes(1 << 22))
    with pytest.raises(ConversionError, match="more than 1000000 bytes"):
        await _unpack(blob, _source(blob, bytes(1 << 22)), max_content_bytes=1_000_000)


async def test_corrupt_data_is_an_error_about_the_layer() -> None:
    blob = gzip.compress(b"content")[:-1]
    with pytest.raises(ConversionError, match=r"layer x.*cut short"):
        await _unpack(blob, _source(blob, b"content"))
