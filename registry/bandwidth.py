"""A limit on how many bytes a second are taken from the network, by all requests together. Without I/O."""

import math
from typing import Final

# What may come at once after a pause: a burst is what a link does anyway.
BURST_SECONDS: Final = 0.25


class Bandwidth:
    """Says how long to wait after bytes were taken.

    Args:
        bytes_per_second: what may be taken in the long run.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._free_at = -math.inf

    def __repr__(self) -> str:
        return f"<Bandwidth {self._bytes_per_second * 8 / 1e6:g} Mbit/s>"

    def wait_seconds(self, size: int, *, now: float) -> float:
        """Books ``size`` bytes that were taken just now; who took them takes no more before so many seconds have passed."""
        self._free_at = max(self._free_at, now - BURST_SECONDS) + size / self._bytes_per_second
        return max(0.0, self._free_at - now)
