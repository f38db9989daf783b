import pytest
from hypothesis import given, strategies as st

from estargz.errors import TocError
from estargz.toc import TocLimits
from fs.entry_checks import base_name, clean_path, parse_link_target, parse_mtime_ns
from tests.fs.layers_by_hand import entry

PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "b", "...", "\0", "ä" * 128, "x" * 255]))


@given(PARTS)
def test_no_name_leaves_the_layer(parts: list[str]) -> None:
    try:
        cleaned = clean_path("/".join(parts), TocLimits())
    except TocError:
        return
    assert not {b"..", b".", b""} & set(cleaned)
    assert clean_path(b"/".join(cleaned).decode(), TocLimits()) == cleaned


@given(PARTS)
def test_the_short_way_leads_to_the_same_place(parts: list[str]) -> None:
    name, limits = "/".join(parts), TocLimits()
    split = base_name(name, limits)
    if split is not None:
        above, last = split
        try:
            directory = clean_path(above, limits)
        except TocError:
            return
        assert clean_path(name, limits) == (*directory, last)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0001-01-01T00:00:00Z", -((1 << 63) // 10**9 - 1)),
        ("9999-12-31T23:59:59Z", (1 << 63) // 10**9 - 1),
        ("1970-01-01T00:00:01+00:00", 1),
    ],
)
def test_times_no_clock_can_tell_become_the_nearest_one(text: str, seconds: int) -> None:
    assert parse_mtime_ns(entry("f", modtime=text)) == seconds * 10**9


def test_link_targets_are_any_text_but_nothing() -> None:
    assert (
        parse_link_target(entry("s", "symlink", link_name="../ä"), TocLimits()) == "../ä".encode()
    )
    for bad in ("", "a\0b"):
        with pytest.raises(TocError):
            parse_link_target(entry("s", "symlink", link_name=bad), TocLimits())
