"""Sizes as people write and read them."""

import re
from typing import Final

_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_BINARY_UNITS: Final = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
_SIZE: Final = re.compile(r"([0-9]{1,18}) ?([kmg]i?)?b?", re.IGNORECASE)
_STEP: Final = 1000


def parse_size(text: str) -> int:
    """Reads ``4194304``, ``4MiB``, ``4Mi`` or ``4MB``.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: write a number of bytes, or one with kB, MB, MiB, GiB"
        )
    return int(match[1]) * (_UNITS | _BINARY_UNITS)[(match[2] or "").lower()]


def format_size(size: int) -> str:
    """A size in two or three digits, in decimal units as transfers are measured."""
    if size < _STEP:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= _STEP
        digits = 1 if round(value, 1) < _STEP / 10 else 0
        if round(value, digits) < _STEP:
            return f"{value:.{digits}f} {unit}"
    return f"{value:.0f} TB"
