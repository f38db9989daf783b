"""The fs server comes back without anybody asking for it."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshotter.errors import FsServerError
from snapshotter.fs_process import FsProcess, FsProcessSettings
from snapshotter.fs_watch import kept_running
from tests.snapshotter.test_unix_socket import LISTENER


class Starter(FsProcess):
    """Starts a process that only listens; fails first, as often as it is told."""

    def __init__(self, socket: Path) -> None:
        super().__init__(FsProcessSettings(socket, socket, socket, socket))
        self.socket = socket
        self.failures = 0
        self.started = threading.Event()
        self.child: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> bool:
        if self.failures:
            self.failures -= 1
            raise FsServerError("not yet")
        self.end()
        command = [sys.executable, "-c", LISTENER, str(self.socket)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == b"ready\n"
        self.started.set()
        return True

    def end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def starter() -> Iterator[Starter]:
    with tempfile.TemporaryDirectory() as name:
        starter = Starter(Path(name) / "socket")
        yield starter
        starter.end()


@pytest.mark.parametrize("failures", [0, 1])
def test_who_dies_is_started_again(starter: Starter, failures: int) -> None:
    starter.ensure_running()
    first = starter.child
    assert first is not None
    starter.started.clear()
    starter.failures = failures
    with kept_running(starter, starter.socket):
        first.kill()
        assert starter.started.wait(20)
    assert starter.child is not first
    assert starter.child is not None
    assert starter.child.poll() is None


def test_one_that_is_not_there_is_started(starter: Starter) -> None:
    with kept_running(starter, starter.socket):
        assert starter.started.wait(20)


def test_nobody_is_started_at_the_end(starter: Starter) -> None:
    starter.ensure_running()
    starter.started.clear()
    with kept_running(starter, starter.socket):
        pass
    assert not starter.started.is_set()
