"""What is run in the images, and how one can tell that it is ready."""

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from benchmarks.images import SOCKET_DIRECTORY

_POLL_SECONDS = 0.005
_SOCKET = f"/{SOCKET_DIRECTORY}/socket"
_POSTGRES_SOCKET = ".s.PGSQL.5432"
_POSTGRES = f"""\
set -e
PATH=$PATH:/usr/lib/postgresql/15/bin
initdb -D /tmp/data -U postgres -A trust --no-sync >/dev/null
exec postgres -D /tmp/data -k /{SOCKET_DIRECTORY} -c listen_addresses=
"""


class NotReadyError(RuntimeError):
    """A container ended, or the deadline passed, before it was ready."""


@dataclass(frozen=True, slots=True)
class Line:
    """Ready when a line with this text is on stdout."""

    text: str

    def wait(self, output: BufferedReader, *, deadline_seconds: float) -> None:
        """Returns when it is ready.

        Args:
            output: the container's stdout.
            deadline_seconds: how long it may take.

        Raises:
            NotReadyError: it is not.
        """
        end = time.monotonic() + deadline_seconds
        seen = b""
        while self.text.encode() not in seen:
            readable, _, _ = select.select([output], [], [], max(0.0, end - time.monotonic()))
            piece = output.read1(1 << 16) if readable else b""
            if not piece:
                raise NotReadyError(f"no {self.text!r} in what the container printed: {seen!r}")
            seen += piece


@dataclass(frozen=True, slots=True)
class Answer:
    """Ready when a server answers its first request.

    Attributes:
        socket_name: its socket, below the directory of sockets.
        request: what it is sent.
        expected: what the answer contains.
    """

    socket_name: str
    request: bytes
    expected: bytes

    def wait(self, output: BufferedReader, directory: Path, *, deadline_seconds: float) -> None:
        """Returns when it is ready.

        Args:
            output: the container's stdout.
            directory: what is mounted as the directory of sockets.
            deadline_seconds: how long it may take.

        Raises:
            NotReadyError: it is not.
        """
        end = time.monotonic() + deadline_seconds
        while not self._is_answered(directory / self.socket_name, end):
            # The server says by nothing else that it listens; its output ends with it.
            readable, _, _ = select.select([output], [], [], _POLL_SECONDS)
            ended = readable and not output.read1(1 << 16)
            if ended or time.monotonic() > end:
                raise NotReadyError(f"no answer from {self.socket_name}")

    def _is_answered(self, path: Path, end: float) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(max(0.001, end - time.monotonic()))
            try:
                connection.connect(str(path))
                connection.sendall(self.request)
                answer = b""
                while self.expected not in answer:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        return False
                    answer += piece
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Workload:
    """What a container does until it is ready.

    Attributes:
        name: what results call it.
        image: the recipe of its image.
        argv: the command.
        ready: how one can tell.
        reads_all: whether it reads all of its image, or nearly.
    """

    name: str
    image: str
    argv: Sequence[str]
    ready: Line | Answer
    reads_all: bool = False

    def wait_ready(
        self, output: BufferedReader, directory: Path, *, deadline_seconds: float
    ) -> None:
        """Returns when a container that runs this is ready; its stdout and its directory of sockets are given.

        Raises:
            NotReadyError: it is not, by the deadline.
        """
        match self.ready:
            case Line():
                self.ready.wait(output, deadline_seconds=deadline_seconds)
            case Answer():
                self.ready.wait(output, directory, deadline_seconds=deadline_seconds)


def _postgres_request() -> bytes:
    parameters = b"user\0postgres\0database\0postgres\0\0"
    startup = struct.pack("!ii", 8 + len(parameters), 196608) + parameters
    query = b"select 'ready'\0"
    return startup + b"Q" + struct.pack("!i", 4 + len(query)) + query


def _python(code: str) -> tuple[str, ...]:
    return ("python3", "-c", code)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", "tiny", ("sh", "-c", "echo hello"), Line("hello")),
        Workload("python", "python", _python("print('hello')"), Line("hello")),
        Workload("numpy", "python", _python("import numpy; print('ready')"), Line("ready")),
        Workload("pandas", "python", _python("import pandas; print('ready')"), Line("ready")),
        Workload("node", "node", ("node", "-e", "console.log('hello')"), Line("hello")),
        Workload(
            "redis",
            "redis",
            ("redis-server", "--port", "0", "--unixsocket", _SOCKET, "--save", ""),
            Answer("socket", b"PING\r\n", b"+PONG"),
        ),
        Workload(
            "postgres",
            "postgres",
            ("setpriv", "--reuid=999", "--regid=999", "--clear-groups", "sh", "-c", _POSTGRES),
            Answer(_POSTGRES_SOCKET, _postgres_request(), b"ready"),
        ),
        Workload(
            "nginx",
            "nginx",
            ("nginx", "-c", "/etc/nginx/bench.conf"),
            Answer("socket", b"GET / HTTP/1.0\r\n\r\n", b"<title>ready"),
        ),
        Workload(
            "gcc",
            "gcc",
            ("sh", "-c", "gcc -o /tmp/main /src/main.c && /tmp/main"),
            Line("compiled"),
        ),
        Workload("java", "openjdk", ("java", "-cp", "/app", "Hello"), Line("hello")),
        Workload(
            "ai",
            "ai",
            ("sh", "-c", "cat /models/* >/dev/null && echo read"),
            Line("read"),
            reads_all=True,
        ),
    )
}
