"""Durations as Go writes them: ``300ms``, ``1.5h``, ``1m30s``."""

import re
from typing import Final

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # micro sign, then the Greek letter: Go takes both
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART: Final = re.compile(
    rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})"
)


def parse_go_duration(text: str) -> float:
    """The seconds of a duration.

    Raises:
        ValueError: the text is none; it says how to write one.
    """
    rest = text.removeprefix("+")
    if rest == "0":
        return 0.0
    seconds, position = 0.0, 0
    while match := _PART.match(rest, position):
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not position or position != len(rest) or len(text) > 64:  # noqa: PLR2004 - longer than any
        raise ValueError(f"{text[:64]!r} is not a duration: write 30s, 500ms or 1m30s")
    return seconds
