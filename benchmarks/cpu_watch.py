"""Who used the CPU when: processes of one directory, looked at every few milliseconds."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.leftovers import processes_under

_PERIOD_SECONDS = 0.01
_NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Busy:
    """CPU time that processes used in one period. Times are of ``time.monotonic``."""

    began: float
    ended: float
    cpu_seconds: float


class CpuWatch:
    """Watches the processes that run below a directory when it is entered; a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="CPU watch")
        self.busy: list[Busy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def cpu_seconds(self, began: float, ended: float) -> float:
        """What was used between two moments."""
        return sum(b.cpu_seconds for b in self.busy if began <= b.began < ended)

    def _watch(self) -> None:
        pids = list(processes_under(self._directory))
        before, used = time.monotonic(), _cpu_nanoseconds(pids)
        while not self._stop.wait(_PERIOD_SECONDS):
            now, now_used = time.monotonic(), _cpu_nanoseconds(pids)
            self.busy.append(Busy(before, now, (now_used - used) / _NANOSECONDS))
            before, used = now, now_used


def _cpu_nanoseconds(pids: list[int]) -> int:
    """The first field of schedstat is the time on a CPU (Documentation/scheduler/sched-stats.rst)."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(thread.read_text().split()[0])
            except OSError:
                continue  # the thread has ended
    return total
