"""What is measured in the time there is: the same each time, side by side, and as often."""

from collections import Counter

from benchmarks.modes import OUR_MODES, baseline_of
from benchmarks.network import PROFILES
from benchmarks.planning import (
    Plan,
    Turn,
    case_of,
    estimate_seconds,
    fitting,
    foresee,
    left_out,
    plan_turns,
)
from benchmarks.results import Case
from benchmarks.workloads import WORKLOADS

_SIZES = {"python": 240_000_000, "redis": 54_000_000, "ai": 3 << 30}
_WANTED = [
    (WORKLOADS[workload], profile, mode)
    for workload in _SIZES
    for profile in PROFILES.values()
    for mode in OUR_MODES.values()
]


def _estimate(plan: Plan) -> float:
    return estimate_seconds(plan, image_bytes=_SIZES[plan[0].name], known_seconds=None)


def _turns(n: int, counts: Counter[Case] | None = None) -> list[Turn]:
    counted = counts or Counter()
    return plan_turns(_WANTED, n=n, count=counted.__getitem__, estimate=_estimate)


def test_a_turn_is_one_of_each_mode_in_an_order_that_varies() -> None:
    turns = _turns(5)
    assert len(turns) == 5 * len(_SIZES) * len(PROFILES)
    for turn in turns:
        assert {mode.name for _, _, mode in turn.plans} == OUR_MODES.keys()
        assert turn.samples == 5  # two of them have a second start
    assert len({tuple(mode.name for _, _, mode in turn.plans) for turn in turns}) > 1
    assert turns == _turns(5)


def test_what_takes_long_comes_less_often() -> None:
    turns = _turns(5)
    for cell in {turn.cell for turn in turns}:
        assert [turn.number for turn in turns if turn.cell == cell] == [1, 2, 3, 4, 5]
    places = {(turn.cell, turn.number): place for place, turn in enumerate(turns)}
    assert places[("redis", "1gbit-10ms"), 2] < places[("redis", "100mbit-50ms"), 1]
    assert places[("redis", "1gbit-10ms"), 2] < places[("ai", "1gbit-10ms"), 1]


def test_the_plan_fits_and_says_what_does_not() -> None:
    turns = _turns(5)
    outlook = foresee(turns, seconds=1200)
    assert 600 < outlook.seconds <= 1200
    assert outlook.left_out.keys() == {("ai", "100mbit-50ms")}
    assert outlook.samples < sum(turn.samples for turn in turns)
    everything = foresee(turns, seconds=float("inf"))
    assert (everything.samples, everything.left_out) == (225, {})


def test_a_slower_machine_takes_fewer_turns_in_the_same_time() -> None:
    turns = _turns(5)
    taken: list[Turn] = []

    def elapsed() -> float:
        return sum(2 * turn.seconds for turn in taken)

    for turn in fitting(turns, elapsed, seconds=1200):
        taken.append(turn)  # noqa: PERF402 - what is there already is asked for between turns
    assert elapsed() < 1200 + 2 * taken[0].seconds  # what is slow is known after the first
    assert 0 < len(taken) < len(list(fitting(turns, lambda: 0.0, seconds=1200)))
    assert ("ai", "100mbit-50ms") in left_out(turns, taken)


def test_an_interrupted_run_is_continued() -> None:
    first, *others = _turns(2)
    counts: Counter[Case] = Counter()
    *done, interrupted = [case_of(plan) for plan in first.plans]
    counts.update(done)
    again = _turns(2, counts)
    assert again[0].cell == first.cell
    assert [case_of(plan) for plan in again[0].plans] == [interrupted]
    assert Counter(turn.cell for turn in again[1:]) == Counter(turn.cell for turn in others)


def test_what_is_known_counts_more_than_the_size() -> None:
    full, lazy = _WANTED[0], _WANTED[1]
    guess = estimate_seconds(full, image_bytes=240_000_000, known_seconds=None)
    assert estimate_seconds(full, image_bytes=240_000_000, known_seconds=60) > guess
    assert estimate_seconds(lazy, image_bytes=240_000_000, known_seconds=None) < guess
    assert baseline_of(lazy[2].name) == full[2].name
