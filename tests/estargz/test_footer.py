import gzip

import pytest
from hypothesis import given, settings, strategies as st

from estargz.errors import NotEstargzError, TocError
from estargz.footer import (
    FOOTER_BYTES,
    ExternalFooter,
    Footer,
    ZstdFooter,
    dump_footer,
    parse_footer,
)

_EXAMPLE = bytes.fromhex(
    "1f8b08040000000000ff1a0053471600"
    "30303030303030303030303031323334"
    "53544152475a010000ffff0000000000000000"
)
_LEGACY = bytes.fromhex(
    "1f8b08040000000000ff1600" + "30" * 12 + "31323334" + "53544152475a010000ffff" + "00" * 8
)
_EXTERNAL = bytes.fromhex(
    "1f8b08040000000000ff150053471100" + b"STARGZEXTERNALTOC".hex() + "010000ffff" + "00" * 8
)
_ZSTD = bytes.fromhex(
    "502a4d1828000000341200000000000000020000000000000009000000000000"
    "0100000000000000476e556c496e5578"
)
# As containers/storage writes it since 2024: with tar-split data, and another spelling of the magic number.
_ZSTD_64 = bytes.fromhex(
    "502a4d1840000000341200000000000000020000000000000009000000000000"
    "0100000000000000001500000000000000060000000000000007000000000000"
    "474e556c496e5578"
)


def test_the_example_of_the_specification() -> None:
    assert len(_EXAMPLE) == FOOTER_BYTES
    assert dump_footer(Footer(0x1234)) == _EXAMPLE
    assert parse_footer(_EXAMPLE) == Footer(0x1234)


@given(st.integers(0, (1 << 63) - 1), st.binary(max_size=100))
def test_what_is_dumped_can_be_parsed_behind_anything(offset: int, before: bytes) -> None:
    assert parse_footer(before + dump_footer(Footer(offset))) == Footer(offset)


@given(st.integers(0, (1 << 63) - 1))
def test_a_footer_is_an_empty_gzip_member(offset: int) -> None:
    assert gzip.decompress(gzip.compress(b"content") + dump_footer(Footer(offset))) == b"content"


@given(st.binary(min_size=6, max_size=6))
def test_the_writers_time_and_flags_do_not_matter(middle: bytes) -> None:
    assert parse_footer(_EXAMPLE[:4] + middle + _EXAMPLE[10:]) == Footer(0x1234)


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        _EXAMPLE[1:],
        _EXAMPLE + b"\0",
        _EXAMPLE.replace(b"1234", b"123G"),
        _EXAMPLE.replace(b"1234", b"12AB"),
        _ZSTD[1:],
        _ZSTD_64[1:],
        b"x" * 40 + _ZSTD[-8:],
        gzip.compress(b"an ordinary layer" * 10),
    ],
    ids=[
        "empty",
        "short",
        "more",
        "no-hex",
        "upper-case",
        "zstd-40",
        "zstd-64",
        "magic",
        "plain-gzip",
    ],
)
def test_anything_else_is_refused(tail: bytes) -> None:
    with pytest.raises(NotEstargzError):
        parse_footer(tail)


@given(st.binary(max_size=100))
def test_all_layouts_are_told_apart_behind_anything(before: bytes) -> None:
    zstd = ZstdFooter(toc_offset=0x1234, toc_bytes=0x200, raw_toc_bytes=0x900)
    zstd_64 = ZstdFooter(toc_offset=0x1234, toc_bytes=0x200, raw_toc_bytes=0x900, footer_bytes=72)
    assert parse_footer(before + _LEGACY) == Footer(0x1234, 47)
    assert parse_footer(before + _EXTERNAL) == ExternalFooter()
    assert parse_footer(before + _ZSTD) == zstd
    assert parse_footer(before + _ZSTD_64) == zstd_64


def test_the_examples_of_other_layouts_are_dumped() -> None:
    assert dump_footer(ExternalFooter()) == _EXTERNAL
    zstd = ZstdFooter(toc_offset=0x1234, toc_bytes=0x200, raw_toc_bytes=0x900)
    assert dump_footer(zstd) == _ZSTD


def test_another_type_of_toc_is_refused() -> None:
    with pytest.raises(TocError, match="type 2"):
        parse_footer(_ZSTD.replace(b"\x01" + bytes(7), b"\x02" + bytes(7)))


_FOOTERS = [_EXAMPLE, _LEGACY, _EXTERNAL, _ZSTD, _ZSTD_64]


@settings(max_examples=300, derandomize=True)
@given(st.sampled_from(_FOOTERS), st.data())
def test_damaged_footers_are_read_or_refused(footer: bytes, data: st.DataObject) -> None:
    damaged = bytearray(footer)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_footer(bytes(damaged))
    except (NotEstargzError, TocError):
        return
