"""Lets work that nobody waits for stand aside while somebody waits."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class DemandGate:
    """Counts the readers that wait for content, on the whole node."""

    def __init__(self) -> None:
        self._waiting = 0
        self._last_demand = -float("inf")
        self._nobody_waits = trio.Event()
        self._nobody_waits.set()

    def __repr__(self) -> str:
        return f"<DemandGate {self._waiting} waiting>"

    @contextmanager
    def demand(self) -> Iterator[None]:
        """Somebody waits, for the time of a ``with`` block."""
        if self._waiting == 0:
            self._nobody_waits = trio.Event()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._last_demand = trio.current_time()
            if self._waiting == 0:
                self._nobody_waits.set()

    def expect_demand(self) -> None:
        """Somebody will soon read: counts as a reader that was here just now."""
        self._last_demand = trio.current_time()

    def is_quiet(self, seconds: float) -> bool:
        """Whether nobody waits, and nobody has for that long."""
        return self._waiting == 0 and trio.current_time() >= self._last_demand + seconds

    async def wait_quiet(self, seconds: float) -> None:
        """Returns when nobody waits, and nobody has for that long: who reads now will soon read more."""
        while True:
            await self._nobody_waits.wait()
            remaining = self._last_demand + seconds - trio.current_time()
            if remaining <= 0:
                return
            await trio.sleep(remaining)
