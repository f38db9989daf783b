"""From a registry's refusal to an error that says what it was."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from registry.errors import (
    BadResponseError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnauthorizedError,
)
from registry.retry import parse_retry_after

MAX_FAILURE_BYTES: Final = 64 << 10

_RETRYABLE_STATUSES: Final = frozenset({408, 425, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Failure:
    """A response that is not what was hoped for.

    Attributes:
        host: the registry as its images name it; after a redirect, the host that answered.
        url: what was asked for.
        status: the HTTP status.
        body: the beginning of the body.
        retry_after: the header of that name.
        redirected: whether the registry itself sent us to that host.
    """

    host: str
    url: str
    status: int
    body: bytes
    retry_after: str | None = None
    redirected: bool = False


def error_from_failure(failure: Failure, *, now: datetime) -> RegistryError:
    """The error for a failure, with the registry's own code and message where its body holds any."""
    code, detail = parse_failure_body(failure.body)
    kind, retryable = _classify(failure)
    return kind(
        failure.host,
        status=failure.status,
        code=code,
        detail=detail,
        url=failure.url,
        retryable=retryable,
        retry_after_seconds=parse_retry_after(failure.retry_after, now=now),
    )


def parse_failure_body(body: bytes) -> tuple[str, str]:
    """Code and message of the first error in ``{"errors": [{"code", "message"}]}``; else the text as it is."""
    try:
        document: Any = msgspec.json.decode(body)
        first = document["errors"][0]
        return str(first.get("code") or ""), str(first.get("message") or "")
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
    ):
        return "", body.decode("utf-8", "replace")


def _classify(failure: Failure) -> tuple[type[RegistryError], bool]:
    match failure.status:
        case 401 | 403 if failure.redirected:
            # The registry has just signed that URL: no credentials of ours would help, a new URL may.
            return BadResponseError, True
        case 401 | 403:
            return UnauthorizedError, False
        case 404 | 410:
            return NotFoundError, False
        case 429:
            return RateLimitedError, True
        case status:
            return RegistryError, status in _RETRYABLE_STATUSES
