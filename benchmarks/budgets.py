"""What lazy starts may cost: fractions of a full pull, and requests, next to what was measured.

The figures beside the budgets were measured with containerd/stargz-snapshotter, on images of the same kind, at
1 Gbit/s and 10 ms; a budget is 0.6 of its fraction, and half of its requests.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.results import Case, Summary

PROFILE = "1gbit-10ms"
_FRACTION = 0.6
_REQUESTS = 0.5

GO_FRACTIONS = {
    ("python", "unoptimized"): 0.08,
    ("node", "unoptimized"): 0.22,
    ("java", "unoptimized"): 0.28,
    ("nginx", "unoptimized"): 0.37,
    ("redis", "unoptimized"): 0.47,
    ("postgres", "unoptimized"): 0.59,
    ("python", "optimized"): 0.05,
    ("node", "optimized"): 0.17,
    ("java", "optimized"): 0.33,
    ("redis", "optimized"): 0.28,
    ("postgres", "optimized"): 0.50,
}
GO_REQUESTS = {
    "python": 48,
    "node": 59,
    "java": 45,
    "nginx": 58,
    "redis": 47,
    "postgres": 87,
    "pandas": 221,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One budget, and what was measured, in how many samples."""

    what: str
    reference: float
    budget: float
    measured: float
    samples: int

    @property
    def is_met(self) -> bool:
        """Whether it is kept."""
        return self.measured <= self.budget


def _of_time(workload: str, mode: str) -> str:
    return f"{workload}, {mode}: time / full pull"


def _of_requests(workload: str) -> str:
    return f"{workload}, unoptimized: requests until ready"


NAMES = (
    *(_of_time(workload, mode) for workload, mode in GO_FRACTIONS),
    *(_of_requests(workload) for workload in GO_REQUESTS),
)
"""What each budget is called."""


def verdicts(summaries: Mapping[Case, Summary]) -> Iterator[Verdict]:
    """All budgets for which there are samples."""
    for (workload, mode), fraction in GO_FRACTIONS.items():
        lazy = summaries.get((workload, PROFILE, mode))
        full = summaries.get((workload, PROFILE, "overlayfs"))
        if lazy and full:
            measured = lazy.total_seconds / full.total_seconds
            yield Verdict(
                _of_time(workload, mode), fraction, fraction * _FRACTION, measured, lazy.samples
            )
    for workload, requests in GO_REQUESTS.items():
        lazy = summaries.get((workload, PROFILE, "unoptimized"))
        if lazy:
            budget = requests * _REQUESTS
            yield Verdict(_of_requests(workload), requests, budget, lazy.requests, lazy.samples)
