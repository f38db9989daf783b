from dataclasses import replace

import pytest

from fs.read_ahead import ReadAhead, ReadAheadSettings

SETTINGS = ReadAheadSettings(
    least_window_bytes=0, first_window_bytes=100, max_window_bytes=1000, gap_bytes=10
)


@pytest.mark.parametrize("least", [0, 60])
def test_random_reads_bring_little(least: int) -> None:
    ahead = ReadAhead(replace(SETTINGS, least_window_bytes=least))
    for start in (5000, 100, 9000, 7):
        assert ahead.window(start) == least
        ahead.sent(end=start + 50, window=least)


def test_a_sequence_brings_twice_as_much_each_time_up_to_a_bound() -> None:
    ahead = ReadAhead(SETTINGS)
    windows, position = [], 0
    for _ in range(7):
        window = ahead.window(position)
        windows.append(window)
        position += max(window, 20)
        ahead.sent(end=position, window=window)
    assert windows == [0, 100, 200, 400, 800, 1000, 1000]


def test_small_gaps_do_not_end_a_sequence_and_going_back_does() -> None:
    ahead = ReadAhead(SETTINGS)
    ahead.sent(end=500, window=0)
    assert ahead.window(511) == 0
    assert ahead.window(499) == 0
    assert ahead.window(510) == 100


def test_sequences_go_on_side_by_side() -> None:
    ahead = ReadAhead(SETTINGS)
    for end in (1000, 50_000):
        ahead.sent(end=end, window=0)
    assert [ahead.window(start) for start in (1000, 50_000)] == [100, 100]


def test_only_the_last_requests_are_remembered() -> None:
    ahead = ReadAhead(SETTINGS)
    for number in range(100):
        ahead.sent(end=number * 1000, window=0)
    assert ahead.window(0) == 0
    assert ahead.window(99_000) == 100
