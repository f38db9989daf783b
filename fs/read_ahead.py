"""How much to fetch beyond what is asked for: a little at random, ever more in sequence.

A layer's blob is read in sequence when a request begins where an earlier one ended: somebody copies a tree, or reads a
large file. Each further request of the sequence brings twice as much. Several sequences may go on side by side.
"""

from dataclasses import dataclass

_REMEMBERED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAheadSettings:
    """The sizes of windows, and what still counts as going on where a request ended.

    Attributes:
        least_window_bytes: at random: what follows a small file is often wanted with it, and costs no request.
        first_window_bytes: once a sequence goes on.
        max_window_bytes: however long it goes on.
        gap_bytes: how far behind the end of a request the next may begin.
    """

    least_window_bytes: int = 64 << 10
    first_window_bytes: int = 256 << 10
    max_window_bytes: int = 8 << 20
    gap_bytes: int = 16 << 10


class ReadAhead:
    """The ends of the last requests for one blob, and the window that each had."""

    def __init__(self, settings: ReadAheadSettings) -> None:
        self._settings = settings
        self._windows: dict[int, int] = {}  # by the offset where the request ended, oldest first

    def __repr__(self) -> str:
        return f"<ReadAhead {self._windows}>"

    def window(self, start: int) -> int:
        """How many bytes a request from ``start`` on should bring, if it needs no more."""
        for end in reversed(self._windows):
            if 0 <= start - end <= self._settings.gap_bytes:
                grown = max(2 * self._windows.pop(end), self._settings.first_window_bytes)
                return min(grown, self._settings.max_window_bytes)
        return self._settings.least_window_bytes

    def sent(self, *, end: int, window: int) -> None:
        """Remembers a request that was made."""
        self._windows.pop(end, None)
        self._windows[end] = window
        if len(self._windows) > _REMEMBERED:
            del self._windows[next(iter(self._windows))]
