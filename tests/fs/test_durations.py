import pytest
from hypothesis import given, strategies as st

from fs.durations import Durations, Histogram, Operation


def told(durations: Durations, operation: Operation) -> Histogram:
    return next(h for h in durations.statistics() if h.operation is operation)


def test_every_operation_is_told_of_from_the_beginning() -> None:
    histograms = Durations().statistics()
    assert [histogram.operation for histogram in histograms] == list(Operation)
    assert all(sum(histogram.counts) == histogram.seconds == 0 for histogram in histograms)


@pytest.mark.parametrize(
    ("operation", "bounds"),
    [(Operation.MOUNT, ("1.0", "16384.0")), (Operation.READ, ("1.0", "1024.0"))],
    ids=["milliseconds", "microseconds"],
)
def test_the_bounds_are_those_of_dashboards(operation: Operation, bounds: tuple[str, str]) -> None:
    found = [bound for bound, _ in told(Durations(), operation).cumulative()]
    assert (found[0], *found[-2:]) == (*bounds, "+Inf")


def test_a_bound_belongs_to_its_bucket() -> None:
    durations = Durations()
    for milliseconds in (0.5, 1, 1.1, 2, 16384, 16385):
        durations.observe(Operation.MOUNT, milliseconds / 1000)
    counts = dict(told(durations, Operation.MOUNT).cumulative())
    assert (counts["1.0"], counts["2.0"], counts["16384.0"], counts["+Inf"]) == (2, 4, 5, 6)


@given(st.lists(st.floats(0, 100), max_size=20))
def test_nothing_is_lost(seconds: list[float]) -> None:
    durations = Durations()
    for value in seconds:
        durations.observe(Operation.READ, value)
    histogram = told(durations, Operation.READ)
    assert sum(histogram.counts) == len(seconds)
    assert histogram.seconds == pytest.approx(sum(seconds))
    numbers = [number for _, number in histogram.cumulative()]
    assert numbers == sorted(numbers)


def test_what_fails_is_not_measured() -> None:
    durations = Durations()
    with durations.measured(Operation.MOUNT):
        pass
    with pytest.raises(RuntimeError), durations.measured(Operation.MOUNT):
        raise RuntimeError
    assert sum(told(durations, Operation.MOUNT).counts) == 1
    assert repr(durations) == "<Durations {'mount': 1}>"
