"""How long operations take, measured where they happen: one histogram for each kind of operation of the whole node.

The names are those that containerd-stargz-grpc gives its metrics. Its ``stargz_header_get`` and ``stargz_footer_get`` are
not there: no such requests are made.
"""

import enum
import itertools
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Unit(enum.Enum):
    """What durations are told in; the value is how many there are in a second."""

    MILLISECONDS = 1_000
    MICROSECONDS = 1_000_000

    @property
    def bounds(self) -> tuple[int, ...]:
        """The upper bounds of the buckets but the last one, which has none: as dashboards expect."""
        return tuple(2**power for power in range(15 if self is Unit.MILLISECONDS else 11))


class Operation(enum.Enum):
    """What is measured. What fails is not.

    A mount is from the snapshotter's question until a layer's directory can be used; a request for content, until its first
    byte; a TOC until it is whole, and then parsed; prefetches are what the start of a container waits for; the background is
    that of one layer; a read is from the kernel's question until the answer.
    """

    MOUNT = "mount"
    REQUEST = "remote_registry_get"
    TOC_GET = "stargz_toc_get"
    TOC_PARSE = "stargz_toc_json_deserialize"
    PREFETCHES = "all_prefetches_completed"
    BACKGROUND = "background_fetch_download"
    READ = "read_on_demand"
    READDIR = "node_readdir"

    @property
    def unit(self) -> Unit:
        """What its durations are told in."""
        quick = self in {Operation.READ, Operation.READDIR}
        return Unit.MICROSECONDS if quick else Unit.MILLISECONDS


@dataclass(frozen=True, slots=True)
class Histogram:
    """The durations of one operation so far.

    Attributes:
        counts: how many were within each bound of the unit and not within the one before; the last is of all longer ones.
        seconds: all of them together.
    """

    operation: Operation
    counts: tuple[int, ...]
    seconds: float

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each bound with how many were within it, as Prometheus has buckets."""
        bounds = (*(f"{bound:.1f}" for bound in self.operation.unit.bounds), "+Inf")
        return zip(bounds, itertools.accumulate(self.counts), strict=True)


class Durations:
    """The running histograms; from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._bounds = {operation: operation.unit.bounds for operation in Operation}
        self._scales = {operation: operation.unit.value for operation in Operation}
        self._counts = {op: [0] * (len(bounds) + 1) for op, bounds in self._bounds.items()}
        self._seconds = dict.fromkeys(Operation, 0.0)

    def __repr__(self) -> str:
        counts = {op.value: sum(counts) for op, counts in self._counts.items() if any(counts)}
        return f"<Durations {counts}>"

    def observe(self, operation: Operation, seconds: float) -> None:
        """One operation has succeeded."""
        bucket = bisect_left(self._bounds[operation], seconds * self._scales[operation])
        with self._guard:
            self._counts[operation][bucket] += 1
            self._seconds[operation] += seconds

    @contextmanager
    def measured(self, operation: Operation) -> Iterator[None]:
        """Measures what is done within, if it succeeds."""
        begin = time.perf_counter()
        yield
        self.observe(operation, time.perf_counter() - begin)

    def statistics(self) -> list[Histogram]:
        """All histograms of now; also of what has not happened yet."""
        with self._guard:
            return [
                Histogram(operation, tuple(counts), self._seconds[operation])
                for operation, counts in self._counts.items()
            ]
