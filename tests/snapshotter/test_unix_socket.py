"""Who listens, and waiting for its end."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshotter.unix_socket import is_listening, listening

LISTENER = """
import signal, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])
"""


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "socket"


def test_nobody_listens(path: Path) -> None:
    assert not is_listening(path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.exists()
    assert not is_listening(path)
    assert not is_listening(path / "below")


def test_this_process_listens(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with listening(path) as process:
            assert process is not None
            assert process.pid == os.getpid()
            assert not process.wait(timeout_seconds=0)


def test_another_process_is_ended(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(path)], stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            with listening(path) as process:
                assert process is not None
                assert process.pid == child.pid
                process.send(signal.SIGTERM)
                assert process.wait(timeout_seconds=20)
                child.wait(timeout=20)
                process.send(signal.SIGTERM)
        finally:
            child.kill()
    assert not is_listening(path)
