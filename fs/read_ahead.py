"""How much to fetch beyond what is asked for: a little at random, ever more in sequence. Pure.

A layer's blob is read in sequence when a request begins where an earlier one ended: somebody copies a tree, or reads a
large file. Each further request of the sequence brings twice as much. Several sequences may go on side by side. A sequence
has a *mark* in its last request: who reads beyond it will soon want what follows, which is then sent for already.

What the link carries in a round trip is the measure: less leaves it idle.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_REMEMBERED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAheadSettings:
    """The sizes of windows, and what still counts as going on where a request ended.

    Attributes:
        least_window_bytes: at random: what follows a small file is often wanted with it, and costs no request.
        max_random_window_bytes: at random, however fast and far away the registry is.
        first_window_bytes: the least once a sequence goes on.
        max_window_bytes: however long it goes on.
        gap_bytes: how far behind the end of a request the next may begin.
    """

    least_window_bytes: int = 64 << 10
    max_random_window_bytes: int = 1 << 20
    first_window_bytes: int = 256 << 10
    max_window_bytes: int = 8 << 20
    gap_bytes: int = 16 << 10


@dataclass(frozen=True, slots=True)
class Window:
    """How many bytes a request should bring, if it needs no more, and whether it goes on with a sequence."""

    size: int
    in_sequence: bool


class ReadAhead:
    """The ends of the last requests for one blob, and the window that each had."""

    def __init__(self, settings: ReadAheadSettings) -> None:
        self._settings = settings
        self._windows: dict[int, int] = {}  # by the offset where the request ended, oldest first
        self._marks: dict[int, int] = {}  # by the number of a member: the last one of its request

    def __repr__(self) -> str:
        return f"<ReadAhead {self._windows}>"

    def window(self, start: int, *, link_bytes: int = 0, sharing: int = 1) -> Window:
        """The window of a request that begins at ``start``; ``sent`` is to follow.

        Args:
            start: where it begins.
            link_bytes: what the link carries in a round trip.
            sharing: how many requests share the link.
        """
        bounds = self._settings
        for end in reversed(self._windows):
            if 0 <= start - end <= bounds.gap_bytes:
                grown = max(2 * self._windows.pop(end), bounds.first_window_bytes, link_bytes)
                return Window(min(grown, bounds.max_window_bytes), in_sequence=True)
        # Half a round trip's worth delays others by less than asking once more would cost.
        share = link_bytes // (2 * max(sharing, 1))
        size = max(bounds.least_window_bytes, min(share, bounds.max_random_window_bytes))
        return Window(size, in_sequence=False)

    def sent(self, *, start: int, end: int, window: Window) -> None:
        """Remembers a request that was made; what it needs may be more than its window."""
        self._windows.pop(end, None)
        self._windows[end] = max(window.size, end - start)
        if len(self._windows) > _REMEMBERED:
            del self._windows[next(iter(self._windows))]

    @property
    def has_marks(self) -> bool:
        """Whether ``passed`` could find anything."""
        return bool(self._marks)

    def mark(self, number: int, *, last: int) -> None:
        """Sets a mark at a member of a request that ends with the member ``last``."""
        self._marks[number] = last
        if len(self._marks) > _REMEMBERED:
            del self._marks[next(iter(self._marks))]

    def passed(self, numbers: Iterable[int]) -> list[int]:
        """Takes away the marks at these members; gives the last members of their requests."""
        return [self._marks.pop(number) for number in numbers if number in self._marks]
