"""Results: every sample of every run, in one JSON file that runs add to; and what they amount to."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.network import RequestKind
from benchmarks.starts import Start

Case = tuple[str, str, str]
"""Workload, profile, mode."""

# Requests that bring something; being refused and redirected is counted apart.
_ANSWERS = (RequestKind.BLOB, RequestKind.MANIFEST, RequestKind.OTHER)


_PROFILES = ("1gbit-10ms", "100mbit-50ms", "loopback")
_MODES = ("overlayfs", "overlayfs-warm", "unoptimized", "optimized")


def in_order(case: Case) -> tuple[int, str, bool, int, str]:
    """What cases are sorted by: networks, the one that budgets are for first; workloads; first starts before second ones; full pulls first."""
    workload, profile, mode = case
    network = _PROFILES.index(profile) if profile in _PROFILES else len(_PROFILES)
    place = _MODES.index(mode) if mode in _MODES else len(_MODES)
    return network, workload, mode.endswith("warm"), place, mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured start, as it is kept.

    Attributes:
        run: the number of the run it is from.
        requests: how many requests of each kind were made until it was ready.
        fetches: for each blob request: begin and end, in seconds since the start, and bytes.
    """

    run: int
    workload: str
    profile: str
    mode: str
    pull_seconds: float
    create_seconds: float
    run_seconds: float
    cpu_seconds: float
    rss_bytes: int
    connections: int
    bytes_down: int
    requests: dict[str, int]
    fetches: list[tuple[float, float, int]]

    @classmethod
    def of(cls, start: Start, *, run: int, case: Case) -> Self:
        """What is kept of a start."""
        workload, profile, mode = case
        kinds = Counter(request.kind.value for request in start.traffic.requests)
        fetches = [
            (round(r.began - start.began, 4), round(r.ended - start.began, 4), r.body_bytes)
            for r in start.traffic.requests
            if r.kind is RequestKind.BLOB
        ]
        return cls(
            run=run,
            workload=workload,
            profile=profile,
            mode=mode,
            pull_seconds=round(start.pull_seconds, 4),
            create_seconds=round(start.create_seconds, 4),
            run_seconds=round(start.run_seconds, 4),
            cpu_seconds=round(start.cpu_seconds, 2),
            rss_bytes=start.rss_bytes,
            connections=start.traffic.connections,
            bytes_down=start.traffic.bytes_down,
            requests=dict(kinds),
            fetches=fetches,
        )

    @property
    def case(self) -> Case:
        """What it is a sample of."""
        return self.workload, self.profile, self.mode

    @property
    def total_seconds(self) -> float:
        """Until ready."""
        return self.pull_seconds + self.create_seconds + self.run_seconds

    @property
    def answered_requests(self) -> int:
        """Requests without those for tokens, those that were refused for want of one, and those that were redirected."""
        return sum(self.requests.get(kind, 0) for kind in _ANSWERS)


@dataclass
class Results:
    """All runs and their samples, in a file.

    Attributes:
        path: the file.
        runs: what is known of the machine in each run.
        samples: in the order they were taken.
    """

    path: Path
    runs: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What is in a file; nothing if there is none."""
        if not path.exists():
            return cls(path)
        found = json.loads(path.read_text())
        samples = [
            Sample(**{**sample, "fetches": [(*fetch,) for fetch in sample["fetches"]]})
            for sample in found["samples"]
        ]
        return cls(path, found["runs"], samples)

    def add(self, sample: Sample) -> None:
        """Keeps a sample, at once."""
        self.samples.append(sample)
        self.save()

    def save(self) -> None:
        """Writes the file; it appears whole, or stays as it was."""
        lines = ",\n".join(json.dumps(asdict(sample)) for sample in self.samples)
        text = f'{{"runs": {json.dumps(self.runs, indent=1)},\n"samples": [\n{lines}\n]}}\n'
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.replace(self.path)

    def count(self, case: Case) -> int:
        """How many samples there are of a case."""
        return sum(sample.case == case for sample in self.samples)

    def summaries(self) -> dict[Case, "Summary"]:
        """What the samples of each case amount to."""
        cases = dict.fromkeys(sample.case for sample in self.samples)
        return {
            case: Summary.of([sample for sample in self.samples if sample.case == case])
            for case in cases
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Medians of some samples, and the 95th percentile of the whole."""

    samples: int
    pull_seconds: float
    create_seconds: float
    run_seconds: float
    total_seconds: float
    p95_seconds: float
    cpu_seconds: float
    rss_bytes: float
    requests: float
    connections: float
    bytes_down: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """Of at least one sample."""
        return cls(
            samples=len(samples),
            pull_seconds=_median(sample.pull_seconds for sample in samples),
            create_seconds=_median(sample.create_seconds for sample in samples),
            run_seconds=_median(sample.run_seconds for sample in samples),
            total_seconds=_median(sample.total_seconds for sample in samples),
            p95_seconds=percentile([sample.total_seconds for sample in samples], 95),
            cpu_seconds=_median(sample.cpu_seconds for sample in samples),
            rss_bytes=_median(sample.rss_bytes for sample in samples),
            requests=_median(sample.answered_requests for sample in samples),
            connections=_median(sample.connections for sample in samples),
            bytes_down=_median(sample.bytes_down for sample in samples),
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below ``percent`` of all (nearest rank)."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))
