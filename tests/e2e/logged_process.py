"""A daemon as a child process whose log lines can be waited for."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_TAIL_LINES = 40


class ProcessFailedError(AssertionError):
    """A daemon ended, or did not say what was waited for; the message ends with its last log lines."""


class LoggedProcess:
    """A running command, its stdout and stderr collected line by line.

    Use as a context manager: leaving it stops the process (SIGTERM, then SIGKILL) and joins the reader.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = Path(argv[0]).name
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._popen = subprocess.Popen(
            [os.fspath(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ) | dict(env or {}),
            cwd=cwd,
            pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {self.name}")
        self._reader.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} pid={self.pid} status={self._popen.poll()}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self.join_log()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._popen.poll() is None

    def lines(self) -> list[str]:
        """Return the log lines read so far."""
        with self._changed:
            return list(self._lines)

    def wait_for_line(self, pattern: str, *, deadline_seconds: float, after: int = 0) -> str:
        """Return the first log line that `pattern` is found in, from line number `after` on.

        Raises:
            ProcessFailedError: The log ended or the deadline passed before such a line.
        """
        end = time.monotonic() + deadline_seconds
        wanted = re.compile(pattern)
        with self._changed:
            while True:
                for line in self._lines[after:]:
                    if wanted.search(line):
                        return line
                after = len(self._lines)
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    raise ProcessFailedError(self._describe(f"no log line matches {pattern!r}"))
                self._changed.wait(left)

    def wait(self, *, deadline_seconds: float) -> int:
        """Return the exit status.

        Raises:
            ProcessFailedError: The process still runs at the deadline.
        """
        try:
            return self._popen.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailedError(self._describe("still runs")) from None

    def kill(self) -> None:
        """Kill the process at once (SIGKILL) and reap it."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, *, deadline_seconds: float = 15.0) -> int:
        """Ask the process to end (SIGTERM); kill it at the deadline; return the exit status."""
        if self.is_running:
            self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.wait()

    def join_log(self, *, deadline_seconds: float = 10.0) -> None:
        """Wait until everyone who inherited the log pipe is gone.

        Raises:
            ProcessFailedError: Somebody still holds it at the deadline.
        """
        self._reader.join(deadline_seconds)
        if self._reader.is_alive():
            raise ProcessFailedError(self._describe("a child still holds the log pipe"))
        if self._popen.stdout:
            self._popen.stdout.close()

    def tail(self) -> str:
        """Return the last log lines as one text."""
        return "\n".join(self.lines()[-_TAIL_LINES:])

    def _describe(self, problem: str) -> str:
        tail = "\n".join(self._lines[-_TAIL_LINES:])
        return f"{self!r}: {problem}; its last log lines:\n{tail}"

    def _read(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        for raw in stream:
            with self._changed:
                self._lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
