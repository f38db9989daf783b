"""Work for one key is done once at a time, and shared."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from snapshotter.flights import Flights


class Gate:
    """Work that a test lets end."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.leave = threading.Event()
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        self.entered.release()
        assert self.leave.wait(timeout=20)
        return self.calls


def test_the_same_work_is_shared() -> None:
    flights, gate = Flights(), Gate()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(flights.run, "key", "purpose", gate)
        assert gate.entered.acquire(timeout=20)
        others = [threads.submit(flights.run, "key", "purpose", lambda: 99) for _ in range(2)]
        assert not first.done()
        gate.leave.set()
        assert first.result() == 1
        # They joined the first flight, or came after it and flew alone.
        assert {other.result() for other in others} <= {1, 99}
    assert repr(flights) == "<Flights []>"


def test_work_of_another_purpose_waits() -> None:
    flights, gate, order = Flights(), Gate(), list[str]()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(flights.run, "key", "attach", gate)
        assert gate.entered.acquire(timeout=20)
        first.add_done_callback(lambda _: order.append("attach"))
        second = threads.submit(flights.run, "key", "detach", lambda: order.append("detach"))
        gate.leave.set()
        second.result()
        first.result()
    assert sorted(order) == ["attach", "detach"]
    assert gate.calls == 1


def test_other_keys_do_not_wait() -> None:
    flights, gate = Flights(), Gate()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(flights.run, "key", "purpose", gate)
        assert gate.entered.acquire(timeout=20)
        assert flights.run("other", "purpose", lambda: 7) == 7
        gate.leave.set()
        assert first.result() == 1


def test_an_error_ends_the_flight_for_all() -> None:
    flights = Flights()
    with pytest.raises(ZeroDivisionError):
        flights.run("key", "purpose", lambda: 1 // 0)
    assert flights.run("key", "purpose", lambda: 7) == 7
