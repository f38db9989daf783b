import gzip

import pytest
from hypothesis import given, strategies as st

from estargz.errors import NotEstargzError
from estargz.footer import FOOTER_BYTES, Footer, dump_footer, parse_footer

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
        b"x" * 4 + _LEGACY,
        b"x" * 5 + _EXTERNAL,
        gzip.compress(b"an ordinary layer" * 10),
    ],
    ids=["empty", "short", "more", "no-hex", "upper-case", "legacy", "external", "plain-gzip"],
)
def test_anything_else_is_refused(tail: bytes) -> None:
    with pytest.raises(NotEstargzError):
        parse_footer(tail)
