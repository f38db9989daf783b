"""Byte ranges of blobs, and what servers say about them (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class BlobRange:
    """Some bytes of a blob, as received: right in place and length, not yet verified."""

    start: int
    data: bytes
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class ContentRange:
    """What a 206 response says it holds: bytes ``start`` up to, not including, ``stop`` of ``total``."""

    start: int
    stop: int
    total: int


def parse_content_range(header: str | None) -> ContentRange | None:
    """Reads a ``Content-Range``; None where it is missing, malformed or contradicts itself."""
    match = _CONTENT_RANGE.fullmatch((header or "").strip())
    if match is None:
        return None
    first, last, total = (int(group) for group in match.groups())
    if not first <= last < total:
        return None
    return ContentRange(first, last + 1, total)


def parse_unsatisfied_range(header: str | None) -> int | None:
    """The blob's size, from the ``Content-Range`` of a 416 response."""
    match = _UNSATISFIED.fullmatch((header or "").strip())
    return None if match is None else int(match.group(1))


def parse_length(header: str | None) -> int | None:
    """A ``Content-Length``; None where it is missing or malformed."""
    text = (header or "").strip()
    return (
        int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(1 << 63)) else None
    )


def dump_range(*, start: int, length: int) -> str:
    """The ``Range`` header for ``length`` bytes from ``start``."""
    return f"bytes={start}-{start + length - 1}"


def dump_suffix_range(*, length: int) -> str:
    """The ``Range`` header for the last ``length`` bytes."""
    return f"bytes=-{length}"
