from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from fs.read_ahead import ReadAhead, ReadAheadSettings, Window

SETTINGS = ReadAheadSettings(
    least_window_bytes=0,
    max_random_window_bytes=500,
    first_window_bytes=100,
    max_window_bytes=1000,
    gap_bytes=10,
)


def random_window(size: int) -> Window:
    return Window(size, in_sequence=False)


@pytest.mark.parametrize("least", [0, 60])
def test_random_reads_bring_little(least: int) -> None:
    ahead = ReadAhead(replace(SETTINGS, least_window_bytes=least))
    for start in (5000, 100, 9000, 7):
        assert ahead.window(start) == random_window(least)
        ahead.sent(start=start, end=start + 50, window=random_window(least))


def test_a_sequence_brings_twice_as_much_each_time_up_to_a_bound() -> None:
    ahead = ReadAhead(SETTINGS)
    windows, position = [], 0
    for _ in range(7):
        window = ahead.window(position)
        windows.append(window.size)
        start, position = position, position + max(window.size, 20)
        ahead.sent(start=start, end=position, window=window)
    assert windows == [0, 100, 200, 400, 800, 1000, 1000]


def test_a_sequence_fills_the_link() -> None:
    ahead = ReadAhead(SETTINGS)
    ahead.sent(start=450, end=500, window=random_window(0))
    assert ahead.window(500, link_bytes=700) == Window(700, in_sequence=True)


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_a_random_read_takes_its_share_of_the_link(link_bytes: int, sharing: int) -> None:
    size = ReadAhead(SETTINGS).window(0, link_bytes=link_bytes, sharing=sharing).size
    assert size == min(link_bytes // (2 * sharing), SETTINGS.max_random_window_bytes)


def test_small_gaps_do_not_end_a_sequence_and_going_back_does() -> None:
    ahead = ReadAhead(SETTINGS)
    ahead.sent(start=450, end=500, window=random_window(0))
    assert not ahead.window(511).in_sequence
    assert not ahead.window(499).in_sequence
    assert ahead.window(510) == Window(100, in_sequence=True)


def test_sequences_go_on_side_by_side() -> None:
    ahead = ReadAhead(SETTINGS)
    for end in (1000, 50_000):
        ahead.sent(start=end - 10, end=end, window=random_window(0))
    assert [ahead.window(start).size for start in (1000, 50_000)] == [100, 100]


def test_only_the_last_requests_are_remembered() -> None:
    ahead = ReadAhead(SETTINGS)
    for number in range(100):
        ahead.sent(start=number * 1000 - 10, end=number * 1000, window=random_window(0))
        ahead.mark(number, last=number + 1)
    assert not ahead.window(0).in_sequence
    assert ahead.window(99_000).in_sequence
    assert ahead.passed(range(98)) == list(range(85, 99))


def test_a_mark_is_passed_once() -> None:
    ahead = ReadAhead(SETTINGS)
    ahead.mark(7, last=9)
    assert ahead.has_marks
    assert ahead.passed([6, 8]) == []
    assert ahead.passed([6, 7]) == [9]
    assert ahead.passed([6, 7]) == []
    assert not ahead.has_marks


def test_a_sequence_of_large_members_grows_from_their_size() -> None:
    ahead = ReadAhead(SETTINGS)
    ahead.sent(start=0, end=400, window=random_window(0))
    assert ahead.window(400) == Window(800, in_sequence=True)
