"""What systemd is to a service: somebody to notify, who holds descriptors from one life to the next.

It is a fake because no systemd runs where tests do. It speaks the protocol of sd_notify(3) and sd_listen_fds(3) over a
real socket: ``FDSTORE=1``, ``FDSTOREREMOVE=1``, ``FDNAME=`` and descriptors that come and go as such.
"""

import os
import queue
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_MAX_DESCRIPTORS = 16
_DEADLINE_SECONDS = 30.0
_END, _SO_FAR = b"the test is over", b"all that came so far"


class ServiceManager:
    """Listens on a socket of its own, in a thread; a context manager that lets go of what it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: dict[str, list[int]] = {}
        self._states: queue.Queue[str] = queue.Queue()
        self._stored = threading.Semaphore(0)
        self._so_far = threading.Semaphore(0)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(path))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._send(_END)
        self._thread.join()
        self._socket.close()
        for name in list(self.held):
            self._let_go(name)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a service is started with."""
        return {"NOTIFY_SOCKET": os.fspath(self.path)}

    def next_state(self) -> str:
        """The next thing that it is told of the service itself, such as ``READY=1``."""
        return self._states.get(timeout=_DEADLINE_SECONDS)

    def wait_stored(self) -> None:
        """Returns when it was given descriptors once more."""
        assert self._stored.acquire(timeout=_DEADLINE_SECONDS)

    def names_held(self) -> set[str]:
        """What it holds, after all that it was told so far."""
        self._send(_SO_FAR)
        assert self._so_far.acquire(timeout=_DEADLINE_SECONDS)
        return set(self.held)

    def _send(self, message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.connect(os.fspath(self.path))
            own.send(message)

    def _listen(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, _MAX_DESCRIPTORS)
            if message == _END:
                return
            if message == _SO_FAR:
                self._so_far.release()
                continue
            told = dict(line.split("=", 1) for line in message.decode().splitlines())
            if told.get("FDSTOREREMOVE") == "1":
                self._let_go(told["FDNAME"])
            elif told.get("FDSTORE") == "1":
                self.held.setdefault(told["FDNAME"], []).extend(descriptors)
                self._stored.release()
            else:
                self._states.put(message.decode())

    def _let_go(self, name: str) -> None:
        for descriptor in self.held.pop(name, []):
            os.close(descriptor)
