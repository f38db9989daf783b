"""What fetching for one layer has cost so far, and for whom."""

import enum
from dataclasses import dataclass, field


class Priority(enum.IntEnum):
    """For whom something is fetched; the least number goes first."""

    DEMAND = 0
    PREFETCH = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True)
class Transfer:
    """Requests made, and bytes of bodies received in answer."""

    requests: int = 0
    bytes_received: int = 0

    def __add__(self, other: "Transfer") -> "Transfer":
        """Both together."""
        return Transfer(self.requests + other.requests, self.bytes_received + other.bytes_received)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStatistics:
    """A record of one moment.

    Attributes:
        demand: fetched because somebody waited; read-ahead included.
        prefetch: fetched because the image names it.
        background: fetched so that the network is no longer needed.
        hits: reads that were answered at once.
        waits: reads that had to wait.
        retries: attempts after the first one, in all requests.
        verify_failures: members that came wrong.
    """

    demand: Transfer = field(default_factory=Transfer)
    prefetch: Transfer = field(default_factory=Transfer)
    background: Transfer = field(default_factory=Transfer)
    hits: int = 0
    waits: int = 0
    retries: int = 0
    verify_failures: int = 0

    def __add__(self, other: "FetchStatistics") -> "FetchStatistics":
        """Both together."""
        return FetchStatistics(
            demand=self.demand + other.demand,
            prefetch=self.prefetch + other.prefetch,
            background=self.background + other.background,
            hits=self.hits + other.hits,
            waits=self.waits + other.waits,
            retries=self.retries + other.retries,
            verify_failures=self.verify_failures + other.verify_failures,
        )


class FetchCounters:
    """The running numbers behind ``FetchStatistics``; belongs to one layer."""

    __slots__ = ("_bytes", "_requests", "hits", "retries", "verify_failures", "waits")

    def __init__(self) -> None:
        self._requests = [0] * len(Priority)
        self._bytes = [0] * len(Priority)
        self.hits = 0
        self.waits = 0
        self.retries = 0
        self.verify_failures = 0

    def __repr__(self) -> str:
        return f"<FetchCounters {self.snapshot()}>"

    def count_request(self, priority: Priority) -> None:
        """A request is made."""
        self._requests[priority] += 1

    def count_bytes(self, priority: Priority, size: int) -> None:
        """Bytes have come."""
        self._bytes[priority] += size

    def count_retry(self) -> None:
        """A request is tried again."""
        self.retries += 1

    def snapshot(self) -> FetchStatistics:
        """The numbers of now."""
        demand, prefetch, background = (
            Transfer(self._requests[priority], self._bytes[priority]) for priority in Priority
        )
        return FetchStatistics(
            demand=demand,
            prefetch=prefetch,
            background=background,
            hits=self.hits,
            waits=self.waits,
            retries=self.retries,
            verify_failures=self.verify_failures,
        )
