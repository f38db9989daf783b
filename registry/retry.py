"""Whether and when to try again. Decisions only; who asks does the waiting."""

import email.utils
import math
from datetime import datetime

from registry.errors import RegistryError
from registry.settings import ClientSettings


def pause_before_retry(
    error: RegistryError,
    *,
    failures: int,
    elapsed_seconds: float,
    settings: ClientSettings,
    jitter: float,
) -> float | None:
    """How many seconds to wait before the next attempt, or None to give up.

    Args:
        error: why the last attempt failed.
        failures: how many attempts have failed so far.
        elapsed_seconds: how long ago the first attempt began.
        settings: the limits.
        jitter: a random number from 0 to 1, so that many clients do not come back at once.
    """
    if not error.retryable or failures >= settings.attempts:
        return None
    backoff = settings.backoff_seconds * math.ldexp(1, min(failures - 1, 64))
    pause = min(backoff * (1 + jitter), settings.max_backoff_seconds)
    asked_for = error.retry_after_seconds or 0.0
    pause = max(pause, asked_for)
    too_long = asked_for > settings.max_retry_after_seconds
    too_late = elapsed_seconds + pause > settings.operation_timeout_seconds
    return None if too_long or too_late else pause


def parse_retry_after(header: str | None, *, now: datetime) -> float | None:
    """The seconds a ``Retry-After`` asks for, given as seconds or as a date; None where it is missing or malformed."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 1e9)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        return None
    return max(0.0, (date - now).total_seconds())
