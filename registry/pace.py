"""What counts as a body that still comes. Pure.

A server that sends a byte now and then is never silent, and never done. So a body must bring a few kibibytes in each period
of waiting; the time its reader spends on what came does not count. No link that slow could start a container.
"""


class Pace:
    """Watches one body.

    Args:
        least_bytes: what must come in each period.
        seconds: how long a period is.
    """

    def __init__(self, *, least_bytes: int, seconds: float) -> None:
        self._least_bytes = least_bytes
        self._seconds = seconds
        self._bytes_left = least_bytes
        self._seconds_left = seconds

    def __repr__(self) -> str:
        return f"<Pace {self._bytes_left} bytes due in {self._seconds_left:.1f} s>"

    @property
    def seconds_left(self) -> float:
        """How long the next bytes may be waited for."""
        return max(self._seconds_left, 0.0)

    def received(self, size: int, *, waited_seconds: float) -> None:
        """So many bytes came, after such a wait."""
        self._bytes_left -= size
        self._seconds_left -= waited_seconds
        if self._bytes_left <= 0:
            self._bytes_left, self._seconds_left = self._least_bytes, self._seconds
