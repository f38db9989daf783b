"""Which samples are taken in the time there is, in which order. No I/O.

A turn takes one sample of each mode of a workload over a network, in random order, so that what is compared is measured side by side, and
as often. Turns that tell more, and cheaper ones, come first and come again more often: how long each takes is estimated, from samples that
there are already or else from the image's size.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.modes import Mode
from benchmarks.network import NetworkProfile
from benchmarks.publishing import Variant
from benchmarks.results import Case
from benchmarks.workloads import Workload

# Budgets are for the first of them, so it is measured most often.
_PROFILE_WEIGHTS = {"1gbit-10ms": 1.0, "loopback": 2.6, "100mbit-50ms": 3.0}
_USUAL_TURN_SECONDS = 120.0  # what takes longer comes less often
# Measured on two cores, roughly: daemons that start and end, and page caches that are emptied and filled.
_NODE_SECONDS = 3.0
_SECOND_START_SECONDS = 2.5
_LAZY_SECONDS = 2.0
_UNPACKED_BYTES_PER_SECOND = 18e6
_COMPLETED_BYTES_PER_SECOND = 60e6

Plan = tuple[Workload, NetworkProfile, Mode]
"""What is to be measured: one kind of start."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One sample of each mode that a workload is started in over a network, as far as they are missing.

    Attributes:
        number: which one of that workload and network it is, from 1.
        plans: what is started, in this order.
        seconds: how long it will take, roughly.
    """

    number: int
    plans: tuple[Plan, ...]
    seconds: float

    @property
    def cell(self) -> tuple[str, str]:
        """The names of its workload and its network."""
        workload, profile, _ = self.plans[0]
        return workload.name, profile.name

    @property
    def samples(self) -> int:
        """How many it takes, second starts included."""
        return sum(2 if mode.warm_name else 1 for _, _, mode in self.plans)


def case_of(plan: Plan) -> Case:
    """What results call the first start of it."""
    workload, profile, mode = plan
    return workload.name, profile.name, mode.name


def estimate_seconds(plan: Plan, *, image_bytes: int, known_seconds: float | None) -> float:
    """How long it takes to measure something.

    Args:
        plan: what.
        image_bytes: of its image, compressed.
        known_seconds: how long its first start took before, if that is known.
    """
    workload, profile, mode = plan
    carried = image_bytes / profile.bytes_per_second
    if known_seconds is not None:
        start = known_seconds
    elif mode.variant is Variant.PLAIN:
        start = max(carried, image_bytes / _UNPACKED_BYTES_PER_SECOND)
    else:
        start = _LAZY_SECONDS + (carried if workload.reads_all else 0.0)
    if not mode.warm_name:
        return _NODE_SECONDS + start
    completion = 0.0
    if mode.variant is not Variant.PLAIN and not workload.reads_all:
        completion = max(carried, image_bytes / _COMPLETED_BYTES_PER_SECOND)
    return _NODE_SECONDS + start + completion + _SECOND_START_SECONDS


def plan_turns(
    wanted: Iterable[Plan],
    *,
    n: int,
    count: Callable[[Case], int],
    estimate: Callable[[Plan], float],
) -> list[Turn]:
    """All turns that are left to take, the most telling first.

    Args:
        wanted: what is to be measured.
        n: how many samples of each.
        count: how many there are.
        estimate: how long one of a plan takes.
    """
    cells: dict[tuple[str, str], list[Plan]] = {}
    for plan in wanted:
        workload, profile, _ = case_of(plan)
        cells.setdefault((workload, profile), []).append(plan)
    turns = [
        _turn(number, missing, estimate)
        for number in range(1, n + 1)
        for plans in cells.values()
        if (missing := [plan for plan in plans if count(case_of(plan)) < number])
    ]
    random.Random(n).shuffle(turns)  # noqa: S311 - an order that nobody chose, but the same each time
    return sorted(turns, key=_rank)


def _turn(number: int, plans: Sequence[Plan], estimate: Callable[[Plan], float]) -> Turn:
    order = random.Random(f"{number} {case_of(plans[0])}")  # noqa: S311 - as above
    return Turn(number, tuple(order.sample(plans, len(plans))), sum(map(estimate, plans)))


def _rank(turn: Turn) -> float:
    _, profile = turn.cell
    weight = _PROFILE_WEIGHTS.get(profile, 1.0)
    return turn.number * weight * max(1.0, turn.seconds / _USUAL_TURN_SECONDS)


def fitting(
    turns: Iterable[Turn], elapsed: Callable[[], float], *, seconds: float
) -> Iterator[Turn]:
    """The turns that there is time for, in their order: one that would take too long is passed over.

    Args:
        turns: all of them.
        elapsed: how many seconds have passed, asked after each turn.
        seconds: how many there are.
    """
    expected = 0.0
    for turn in turns:
        passed = elapsed()
        # How much longer than expected it takes here and today.
        pace = passed / expected if expected else 1.0
        if passed + turn.seconds * pace <= seconds:
            expected += turn.seconds
            yield turn


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run will be if everything takes as long as it is expected to.

    Attributes:
        turns: those that it takes.
        left_out: workloads and networks that there is no time for even once, and what one turn of theirs takes.
    """

    turns: Sequence[Turn]
    left_out: Mapping[tuple[str, str], float]

    @property
    def samples(self) -> int:
        """How many it takes."""
        return sum(turn.samples for turn in self.turns)

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(turn.seconds for turn in self.turns)


def foresee(turns: Sequence[Turn], *, seconds: float) -> Outlook:
    """Goes through the turns without taking them."""
    taken: list[Turn] = []
    for turn in fitting(turns, lambda: sum(turn.seconds for turn in taken), seconds=seconds):
        taken.append(turn)  # noqa: PERF402 - what is there already is asked for between turns
    return Outlook(taken, left_out(turns, taken))


def left_out(turns: Iterable[Turn], taken: Iterable[Turn]) -> dict[tuple[str, str], float]:
    """What would have been measured for the first time, and was not; and how long that would have taken."""
    done = {turn.cell for turn in taken}
    return {turn.cell: turn.seconds for turn in turns if turn.number == 1 and turn.cell not in done}
