from hypothesis import given, strategies as st

from fs.link_estimate import LinkEstimate


def test_nothing_is_known_at_first() -> None:
    link = LinkEstimate()
    assert (link.round_trip_seconds, link.bytes_per_second, link.bytes_in_flight) == (0, 0, 0)


def test_the_best_of_the_last_requests_count() -> None:
    link = LinkEstimate()
    for seconds in (0.05, 0.01, 0.3):
        link.saw_first_byte(seconds)
    for size, seconds in ((1 << 20, 0.1), (1 << 20, 0.01), (1 << 20, 1.0)):
        link.saw_body(size, seconds)
    assert link.round_trip_seconds == 0.01
    assert link.bytes_in_flight == 1 << 20


def test_what_was_long_ago_is_forgotten() -> None:
    link = LinkEstimate()
    link.saw_first_byte(0.001)
    for _ in range(20):
        link.saw_first_byte(0.1)
    assert link.round_trip_seconds == 0.1


@given(st.integers(0, 1 << 34), st.floats(0, 1000))
def test_small_bodies_tell_nothing_and_no_body_is_infinitely_fast(
    size: int, seconds: float
) -> None:
    link = LinkEstimate()
    link.saw_body(size, seconds)
    assert 0 <= link.bytes_per_second <= size / 0.0005
    assert (link.bytes_per_second > 0) == (size >= 128 << 10)
