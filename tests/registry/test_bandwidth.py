from hypothesis import given, strategies as st

from registry.bandwidth import BURST_SECONDS, Bandwidth


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=50), st.floats(1e3, 1e9))
def test_who_waits_as_told_is_no_faster_than_the_limit(sizes, limit):
    bandwidth, now = Bandwidth(limit), 1000.0
    for size in sizes:
        now += bandwidth.wait_seconds(size, now=now)
    assert now - 1000.0 >= (sum(sizes) / limit - BURST_SECONDS) * 0.999 - 1e-6


def test_a_link_that_was_idle_may_burst_but_not_catch_up():
    bandwidth = Bandwidth(1000)
    assert bandwidth.wait_seconds(100, now=0.0) == 0.0
    assert bandwidth.wait_seconds(250, now=3600.0) == 0.0
    assert bandwidth.wait_seconds(1000, now=3600.0) == 1.0
    assert repr(bandwidth) == "<Bandwidth 0.008 Mbit/s>"
