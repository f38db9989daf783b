import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.compiler_process import MAX_MESSAGE_BYTES
from tests.e2e.leftovers import wait_for_exit

_SECONDS = 20

Started = tuple[socket.socket, "subprocess.Popen[bytes]"]


@pytest.fixture
def started() -> Iterator[Started]:
    asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with asking, asked:
        asking.settimeout(_SECONDS)
        command = [sys.executable, "-m", "fs.compiler_process", str(asked.fileno()), "/root"]
        with subprocess.Popen(command, pass_fds=[asked.fileno()]) as process:
            asked.close()
            yield asking, process
            asking.close()
            assert process.wait(_SECONDS) == 0


def ask(asking: socket.socket, message: bytes) -> bytes:
    answer, answering = os.pipe()
    toc = os.memfd_create("toc")
    socket.send_fds(asking, [message], [toc, answering])
    os.close(toc)
    os.close(answering)
    with os.fdopen(answer, "rb") as file:
        return file.read()


def test_it_ends_when_nobody_can_ask_and_not_before(started: Started) -> None:
    asking, process = started
    assert ask(asking, b"{}") == b""  # it is up now
    for number in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    assert ask(asking, b"no message") == b""
    assert ask(asking, b"x" * MAX_MESSAGE_BYTES) == b""
    assert process.poll() is None


def test_children_leave_no_zombies(started: Started) -> None:
    asking, process = started
    ask(asking, b"{}")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert wait_for_exit(map(int, children), deadline_seconds=_SECONDS)


def test_it_may_be_killed_where_memory_is_short(started: Started) -> None:
    asking, process = started
    ask(asking, b"{}")
    assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) >= 0
