"""Byte ranges of blobs, and what servers say about them (RFC 9110, section 14)."""

import re
from dataclasses import dataclass
from typing import Final

PARTIAL_CONTENT: Final = 206

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


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


def parse_length(header: str | None) -> int | None:
    """A ``Content-Length``; None where it is missing or malformed."""
    text = (header or "").strip()
    return (
        int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(1 << 63)) else None
    )


def dump_range(*, start: int, length: int | None) -> str:
    """The ``Range`` header for ``length`` bytes from ``start``, or for all that follow it."""
    return f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"


def dump_suffix_range(*, length: int) -> str:
    """The ``Range`` header for the last ``length`` bytes."""
    return f"bytes=-{length}"


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """How to take the wanted bytes out of a response's body.

    Attributes:
        skip: bytes to drop first.
        take: bytes to take then; None takes all there are.
        blob_bytes: the whole blob's size, where the response tells it.
    """

    skip: int
    take: int | None
    blob_bytes: int | None


@dataclass(frozen=True, slots=True)
class BodyHeaders:
    """What a response says about its body."""

    status: int
    content_range: str | None
    content_length: str | None
    content_encoding: str | None = None


class UnusableBodyError(ValueError):
    """The body is not the one asked for; the text says why. Stays inside this package."""


def plan_body(
    headers: BodyHeaders, *, start: int, length: int | None, max_unranged_bytes: int
) -> BodyPlan:
    """Decides what to do with the answer to a request for bytes from ``start``.

    Args:
        headers: what the response says.
        start: the first byte wanted.
        length: how many bytes are wanted; None wants all up to the end.
        max_unranged_bytes: how much may be read where the server ignored the range and sends everything.

    Raises:
        UnusableBodyError: the answer is another range, or more than may be read through.
    """
    _check_encoding(headers)
    if headers.status == PARTIAL_CONTENT:
        return _plan_partial(headers, start=start, length=length)
    size = parse_length(headers.content_length)
    if length is None:
        return BodyPlan(start, None if size is None else size - start, size)
    if size is None or start + length > min(size, max_unranged_bytes):
        raise UnusableBodyError("it ignores the range asked for")
    return BodyPlan(start, length, size)


def plan_tail(headers: BodyHeaders, *, length: int, max_unranged_bytes: int) -> BodyPlan | None:
    """Decides what to do with the answer to a request for the last ``length`` bytes; None: ask in another way.

    Raises:
        UnusableBodyError: the answer is another range.
    """
    _check_encoding(headers)
    if headers.status == PARTIAL_CONTENT:
        got = parse_content_range(headers.content_range)
        if got is None:
            raise UnusableBodyError("its Content-Range is missing or malformed")
        wanted = min(length, got.total)
        return _plan_partial(headers, start=got.total - wanted, length=wanted)
    size = parse_length(headers.content_length)
    if size is None or size > max_unranged_bytes:
        return None
    wanted = min(length, size)
    return BodyPlan(size - wanted, wanted, size)


def _check_encoding(headers: BodyHeaders) -> None:
    if (headers.content_encoding or "identity").strip().lower() != "identity":
        raise UnusableBodyError("it is compressed on the way, though nobody asked for that")


def _plan_partial(headers: BodyHeaders, *, start: int, length: int | None) -> BodyPlan:
    got = parse_content_range(headers.content_range)
    if got is None:
        raise UnusableBodyError("its Content-Range is missing or malformed")
    stop = got.total if length is None else start + length
    if (got.start, got.stop) != (start, stop):
        detail = f"it holds bytes {got.start} to {got.stop} of {got.total}, not {start} to {stop}"
        raise UnusableBodyError(detail)
    return BodyPlan(0, got.stop - got.start, got.total)
