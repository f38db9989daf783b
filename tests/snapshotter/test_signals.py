"""Signals are received in order, whenever they come, and do again what they did afterwards."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from snapshotter.signals import received


def test_signals_are_received_in_order() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with received(signal.SIGHUP, signal.SIGUSR1) as signals:
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
            os.kill(os.getpid(), number)
            assert signals.wait_next() is number
    assert signal.getsignal(signal.SIGHUP) is before


def test_one_that_another_thread_gets_is_received() -> None:
    with received(signal.SIGHUP) as signals, ThreadPoolExecutor(1) as threads:
        threads.submit(signal.raise_signal, signal.SIGHUP).result()
        assert signals.wait_next() is signal.SIGHUP
