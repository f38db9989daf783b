"""Signals as values to wait for: none is lost, whichever thread the kernel gives it to."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def received(*numbers: signal.Signals) -> Iterator["ReceivedSignals"]:
    """Receives these signals instead of what they would do; the main thread only."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    # The interpreter's own handler writes the number at once; Python code would run only when the main thread does.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield ReceivedSignals(reading)
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


class ReceivedSignals:
    """What has been received, in order."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait_next(self) -> signal.Signals:
        """The next signal, when it comes."""
        return signal.Signals(os.read(self._descriptor, 1)[0])
