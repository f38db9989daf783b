"""What is known of the way to a registry: its round trip and its bandwidth, from the requests that were made anyway.

The round trip is the least wait for a first byte among the last requests, the bandwidth the best rate among the last
bodies that were long enough to tell. Their product is how much can be on its way at a time: asking for less leaves the
link idle, and reading through a gap of less costs no more time than another request. Pure.
"""

from collections import deque

_REMEMBERED = 16
_LEAST_BODY_BYTES = 128 << 10
_LEAST_BODY_SECONDS = 0.0005


class LinkEstimate:
    """A moving estimate for one registry host; knows nothing at first."""

    def __init__(self) -> None:
        self._waits: deque[float] = deque(maxlen=_REMEMBERED)
        self._rates: deque[float] = deque(maxlen=_REMEMBERED)

    def __repr__(self) -> str:
        return f"<LinkEstimate {self.round_trip_seconds:.4f} s, {self.bytes_per_second:.0f} B/s>"

    def saw_first_byte(self, seconds: float) -> None:
        """A request's body began that long after it was sent; connecting and redirects are part of it."""
        self._waits.append(seconds)

    def saw_body(self, size: int, seconds: float) -> None:
        """So many bytes of a body came in so many seconds, behind its first piece."""
        if size >= _LEAST_BODY_BYTES:
            self._rates.append(size / max(seconds, _LEAST_BODY_SECONDS))

    @property
    def round_trip_seconds(self) -> float:
        """The time until an answer begins; 0 while unknown."""
        return min(self._waits, default=0.0)

    @property
    def bytes_per_second(self) -> float:
        """How fast bodies come; 0 while unknown."""
        return max(self._rates, default=0.0)

    @property
    def bytes_in_flight(self) -> int:
        """The bandwidth-delay product; 0 while unknown."""
        return int(self.round_trip_seconds * self.bytes_per_second)
