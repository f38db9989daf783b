"""A program for containers: reads files all the time, dropping what the kernel kept of them, and checks every byte."""

import json
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.e2e.ctr import Ctr, new_container_id

_TALK = "/talk"
_DEADLINE_SECONDS = 90.0
_SOURCE = """\
import hashlib, json, os, socket, sys, threading
expected = json.loads(sys.argv[1])
rounds, problems, turned = 0, [], threading.Condition()
def read_all():
    global rounds
    while True:
        for path, digest in expected.items():
            try:
                with open(path, "rb", buffering=0) as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    content = b"".join(iter(lambda: file.read(1 << 20), b""))
                if hashlib.sha256(content).hexdigest() != digest:
                    problems.append(path + ": wrong content")
            except OSError as error:
                problems.append(f"{path}: {error}")
        with turned:
            rounds += 1
            turned.notify_all()
threading.Thread(target=read_all, daemon=True).start()
talk = socket.socket(socket.AF_UNIX)
talk.connect("/talk/socket")
for line in talk.makefile():
    with turned:
        wanted = rounds + int(line)
        turned.wait_for(lambda: rounds >= wanted, timeout=60)
    talk.sendall(json.dumps([rounds, problems[:10]]).encode() + b"\\n")
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How often all files were read, and what was wrong."""

    rounds: int
    problems: tuple[str, ...]


class RestlessReader:
    """A container with that program, which hangs on nothing but its shim; a context manager.

    Args:
        ctr: where it runs.
        image: its image.
        files: what it reads: the digest of each path.
    """

    def __init__(self, ctr: Ctr, image: str, files: Mapping[str, str]) -> None:
        self._ctr = ctr
        self._image = image
        self._files = dict(files)
        self._name = new_container_id("restless")
        self._stack = ExitStack()
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="talk-"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(Path(directory) / "socket"))
            listening.listen()
            listening.settimeout(_DEADLINE_SECONDS)
            mount = f"type=bind,src={directory},dst={_TALK},options=rbind:rw"
            words = ("run", "--detach", "--snapshotter", "stargz", "--mount", mount)
            program = ("python3", "-c", _SOURCE, json.dumps(self._files))
            self._ctr(*words, self._image, self._name, *program)
            self._connection, _ = listening.accept()
        self._stack.enter_context(self._connection)
        self._connection.settimeout(_DEADLINE_SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._ctr("tasks", "rm", "--force", self._name)
        self._ctr("containers", "rm", self._name)

    def progress(self, *, rounds: int) -> Progress:
        """Tells how it is doing, so many rounds from now; or after a minute, if it is stuck."""
        assert self._connection is not None
        self._connection.sendall(f"{rounds}\n".encode())
        done, problems = json.loads(self._connection.makefile().readline())
        return Progress(done, tuple(problems))

    def assert_reads_on(self) -> None:
        """Waits until all files have been read once more from beginning to end, rightly."""
        before = self.progress(rounds=0)
        after = self.progress(rounds=2)
        assert after.problems == ()
        assert after.rounds >= before.rounds + 2
