"""How long signed URLs are good, by what they say themselves: those of S3, CloudFront, Google and Azure. Without I/O.

Whoever knows nothing of a URL finds out by being refused; that costs a request, and a reader waits for it.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlsplit

MAX_PARAMETERS: Final = 100


def seconds_left(url: str, *, now: datetime) -> float | None:
    """For how many seconds a URL that was just received is good; None where it does not say, or not sensibly.

    A lifetime that is written in it is believed more than our clock.
    """
    try:
        parameters = dict(parse_qsl(urlsplit(url).query, max_num_fields=MAX_PARAMETERS))
        for vendor in ("X-Amz", "X-Goog"):
            if lifetime := parameters.get(f"{vendor}-Expires"):
                # ISO 8601's basic format, always in UTC.
                signed = datetime.fromisoformat(parameters.get(f"{vendor}-Date", ""))
                return _left_of(float(int(lifetime)), signed, now)
        if moment := parameters.get("Expires"):
            return _until(datetime.fromtimestamp(int(moment), UTC), now)
        if (moment := parameters.get("se")) and "sig" in parameters:
            return _until(datetime.fromisoformat(moment), now)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return None


def _left_of(lifetime: float, signed: datetime, now: datetime) -> float | None:
    if lifetime <= 0:
        return None
    left = (signed + timedelta(seconds=lifetime) - now).total_seconds()
    return left if 0 < left <= lifetime else lifetime


def _until(moment: datetime, now: datetime) -> float | None:
    left = (moment - now).total_seconds()
    return left if left > 0 else None
