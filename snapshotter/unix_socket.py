"""Who listens on a unix socket, and how to end that process."""

import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def is_listening(path: Path) -> bool:
    """Whether a process listens on a socket."""
    with listening(path) as process:
        return process is not None


@contextmanager
def listening(path: Path) -> Iterator["Process | None"]:
    """The process that listens on a socket; None if none does."""
    pid = _listener_pid(path)
    try:
        descriptor = None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        descriptor = None
    try:
        yield None if descriptor is None or pid is None else Process(pid, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


class Process:
    """A process that is not ours; never mistaken for a later one of the same number."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def __repr__(self) -> str:
        return f"<Process {self.pid}>"

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal; one that has ended is no error."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def wait(self, *, timeout_seconds: float) -> bool:
        """Waits for its end; tells whether it came in time."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(timeout_seconds * 1000))

    def wait_unless(self, woken: int) -> bool:
        """Waits for its end, or until there is something to read on a descriptor; tells whether it has ended."""
        poller = select.poll()
        for descriptor in (self._descriptor, woken):
            poller.register(descriptor, select.POLLIN)
        return self._descriptor in dict(poller.poll())


def _listener_pid(path: Path) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        size = _CREDENTIALS.size
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid: int = _CREDENTIALS.unpack(raw)[0]
    return pid
