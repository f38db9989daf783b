from hypothesis import given, strategies as st

from registry.pace import Pace


def pace() -> Pace:
    return Pace(least_bytes=1000, seconds=10)


def test_a_byte_now_and_then_is_too_slow() -> None:
    watched = pace()
    for _ in range(10):
        assert watched.seconds_left > 0
        watched.received(1, waited_seconds=1.0)
    assert watched.seconds_left == 0


def test_enough_bytes_begin_a_new_period() -> None:
    watched = pace()
    watched.received(999, waited_seconds=9.0)
    assert watched.seconds_left == 1
    watched.received(1, waited_seconds=0.5)
    assert watched.seconds_left == 10


@given(st.lists(st.integers(200, 10_000), max_size=100))
def test_twice_the_least_rate_is_never_too_slow(sizes: list[int]) -> None:
    watched = pace()
    for size in sizes:
        watched.received(size, waited_seconds=min(size / 200, 9.0))
        assert watched.seconds_left > 0
