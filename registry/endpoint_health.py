"""In which order a registry's endpoints are asked: as configured, but those that failed lately come last.

An endpoint that fails is *set back*: for a while the others are asked first. None is ever dropped, so that when all have failed, all
are tried still. One that cannot be reached, or is overloaded, is set back for everything; one that lacks a blob, or gave wrong bytes,
for that blob alone. When the time is over, one request tries the endpoint, and the others go on without it until that request is
answered. Decisions only, without I/O; times are in seconds of any one clock.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from registry.endpoints import Endpoint
from registry.errors import RateLimitedError, RegistryError, UnreachableError

FIRST_SETBACK_SECONDS: Final = 10.0
MAX_SETBACK_SECONDS: Final = 300.0
BLOB_SETBACK_SECONDS: Final = 60.0
MAX_REMEMBERED: Final = 4096

_EVERYTHING: Final = None


@dataclass(slots=True)
class _Setback:
    since: float
    seconds: float
    until: float


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint's standing, for reports: how many seconds it stays set back."""

    base_url: str
    set_back_seconds: float


class EndpointHealth:
    """Remembers which endpoints failed."""

    def __init__(self) -> None:
        self._setbacks: OrderedDict[tuple[str, Hashable], _Setback] = OrderedDict()

    def __repr__(self) -> str:
        return f"<EndpointHealth {len(self._setbacks)} set back>"

    def order(
        self, endpoints: Iterable[Endpoint], *, subject: Hashable, now: float
    ) -> tuple[list[Endpoint], list[Endpoint]]:
        """The endpoints to ask about a subject (a blob, say), in order: first the sound ones, then those set back."""
        sound: list[Endpoint] = []
        set_back: list[Endpoint] = []
        for endpoint in endpoints:
            if self._is_set_back(endpoint, subject, now=now):
                set_back.append(endpoint)
            else:
                self._let_one_try(endpoint, now=now)
                sound.append(endpoint)
        return sound, set_back

    def failed(
        self, endpoint: Endpoint, error: RegistryError, *, subject: Hashable, now: float
    ) -> bool:
        """Sets an endpoint back, for the subject alone where the error says nothing about the endpoint as such.

        Returns:
            Whether it is set back for everything now, and was not before.
        """
        if _is_about_the_host(error):
            before = self._setbacks.get((endpoint.base_url, _EVERYTHING))
            if before is not None and now < before.since + before.seconds:
                return False  # one outage, seen by many requests at once
            seconds = FIRST_SETBACK_SECONDS if before is None else before.seconds * 2
            self._set_back(
                (endpoint.base_url, _EVERYTHING), min(seconds, MAX_SETBACK_SECONDS), now=now
            )
            return before is None
        self._set_back((endpoint.base_url, subject), BLOB_SETBACK_SECONDS, now=now)
        return False

    def answered(self, endpoint: Endpoint) -> bool:
        """The endpoint works; whether it was set back for everything until now."""
        return self._setbacks.pop((endpoint.base_url, _EVERYTHING), None) is not None

    def states(self, *, now: float) -> tuple[EndpointState, ...]:
        """The endpoints that are set back for everything."""
        return tuple(
            EndpointState(base_url, setback.until - now)
            for (base_url, subject), setback in self._setbacks.items()
            if subject is _EVERYTHING and setback.until > now
        )

    def _is_set_back(self, endpoint: Endpoint, subject: Hashable, *, now: float) -> bool:
        setbacks = (self._setbacks.get((endpoint.base_url, key)) for key in (_EVERYTHING, subject))
        return any(setback is not None and now < setback.until for setback in setbacks)

    def _let_one_try(self, endpoint: Endpoint, *, now: float) -> None:
        """Whoever asks an endpoint whose time is over finds out for all: until then, the others go on without it."""
        setback = self._setbacks.get((endpoint.base_url, _EVERYTHING))
        if setback is not None:
            setback.until = now + setback.seconds

    def _set_back(self, key: tuple[str, Hashable], seconds: float, *, now: float) -> None:
        self._setbacks[key] = _Setback(now, seconds, now + seconds)
        self._setbacks.move_to_end(key)
        while len(self._setbacks) > MAX_REMEMBERED:
            self._setbacks.popitem(last=False)


def _is_about_the_host(error: RegistryError) -> bool:
    if isinstance(error, (UnreachableError, RateLimitedError)):
        return True
    return error.status is not None and error.status >= 500  # noqa: PLR2004 - HTTP's server errors


def join_failures(
    failures: Mapping[Endpoint, RegistryError], *, known_to_fail: frozenset[Endpoint]
) -> RegistryError:
    """The one error to raise where no endpoint gave a good answer.

    What the registry itself said is told first, and then what its mirrors did. Trying again helps where one of the failures is
    temporary; those that were known before do not count, unless there are no others.
    """
    last = next((endpoint for endpoint in failures if not endpoint.is_mirror), [*failures][-1])
    others = tuple(error for endpoint, error in failures.items() if endpoint is not last)
    if not others:
        return failures[last]
    fresh = [error for endpoint, error in failures.items() if endpoint not in known_to_fail]
    retryable = any(error.retryable for error in fresh or failures.values())
    return failures[last].after(others, retryable=retryable)
