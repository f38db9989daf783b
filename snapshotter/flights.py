"""One flight per key: whoever wants the same thing while it is under way waits for it and shares its end."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Flight:
    purpose: Hashable
    end: Future[Any] = field(default_factory=Future)


class Flights:
    """What is under way, by key. No lock is held while work is done."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def __repr__(self) -> str:
        return f"<Flights {list(self._flights)}>"

    def run(self, key: Hashable, purpose: Hashable, work: Callable[[], T]) -> T:
        """Does work for a key, or shares the result, or the error, of the same work that is under way.

        Work of another purpose for the same key is waited for first, so the two never overlap.
        """
        while True:
            own = _Flight(purpose)
            with self._guard:
                flight = self._flights.setdefault(key, own)
            if flight is own:
                return self._fly(key, own, work)
            if flight.purpose == purpose:
                shared: T = flight.end.result()
                return shared
            wait([flight.end])

    def _fly(self, key: Hashable, flight: _Flight, work: Callable[[], T]) -> T:
        try:
            result = work()
        except BaseException as error:
            self._land(key)
            flight.end.set_exception(error)
            raise
        self._land(key)
        flight.end.set_result(result)
        return result

    def _land(self, key: Hashable) -> None:
        with self._guard:
            del self._flights[key]
