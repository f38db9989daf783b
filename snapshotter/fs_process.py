"""Starting the fs server: a process of its own, which outlives this one."""

import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapshotter.errors import FsServerError
from snapshotter.unix_socket import is_listening

_log = logging.getLogger(__name__)
_START_SECONDS = 30.0
_END_SECONDS = 5.0
_MAX_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FsProcessSettings:
    """How the fs server is started.

    Attributes:
        root: Its state directory.
        socket: Its control socket.
        log: What it logs; appended to.
        settings_file: What else it is told (``fs.settings``); to be there when it is started.
        detached: In a session of its own, so that no signal meant for this process reaches it.
    """

    root: Path
    socket: Path
    log: Path
    settings_file: Path
    detached: bool = True


class FsProcess:
    """Sees to it that an fs server runs. Safe to call from many threads.

    Args:
        settings: How it is started.
        held: Descriptors that the service manager held for a former one; the first one that is started gets them.
    """

    def __init__(self, settings: FsProcessSettings, held: Sequence[int] = ()) -> None:
        self._settings = settings
        self._held = tuple(held)
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<FsProcess {self._settings.socket}>"

    def ensure_running(self) -> bool:
        """Starts the server unless one listens already; tells whether it did.

        Raises:
            FsServerError: it cannot be started, or is not ready in time.
        """
        with self._starting, self._no_longer_held():
            if is_listening(self._settings.socket):
                return False
            self._reap()
            try:
                self._start()
            except FsServerError:
                if is_listening(self._settings.socket):
                    return False  # somebody else was faster
                raise
            return True

    @contextmanager
    def _no_longer_held(self) -> Iterator[None]:
        """Lets go of what was held, whatever comes of the start: readers would wait for us, who do not answer."""
        try:
            yield
        finally:
            for descriptor in self._held:
                os.close(descriptor)
            self._held = ()

    def _reap(self) -> None:
        """Forgets a server of ours that has died, so that it does not stay a zombie."""
        if self._process is not None and self._process.poll() is not None:
            fields = {"exit_code": self._process.returncode}
            _log.error("fs server died, starting another one", extra={"fields": fields})

    def _start(self) -> None:
        settings = self._settings
        reading, writing = os.pipe()
        try:
            with settings.log.open("ab") as log:
                settings.log.chmod(0o600)
                self._process = subprocess.Popen(  # noqa: S603 - our own program, without a shell
                    _command(settings, writing, self._held),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    pass_fds=(writing, *self._held),
                    start_new_session=settings.detached,
                )
        except OSError as error:
            os.close(reading)
            raise FsServerError(f"cannot be started: {error}") from error
        finally:
            os.close(writing)
        try:
            self._check_ready(self._process, _read_line(reading))
        finally:
            os.close(reading)
        _log.info("fs server started", extra={"fields": {"pid": self._process.pid}})

    def _check_ready(self, process: subprocess.Popen[bytes], line: str | None) -> None:
        if line == "ready":
            return
        if line is None:
            process.kill()
        _wait_for_end(process)
        if line is None:
            reason = f"not ready after {_START_SECONDS:.0f} s; see {self._settings.log}"
        elif not line:
            reason = f"died while starting; see {self._settings.log}"
        else:
            reason = line.removeprefix("error: ")
        raise FsServerError(reason)


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _command(settings: FsProcessSettings, ready_descriptor: int, held: Sequence[int]) -> list[str]:
    return [
        *(sys.executable, "-m", "fs.server"),
        *("--root", str(settings.root)),
        *("--socket", str(settings.socket)),
        *("--ready-fd", str(ready_descriptor)),
        *("--settings", str(settings.settings_file)),
        *("--log", str(settings.log)),
        *(f"--held-fd={descriptor}" for descriptor in held),
    ]


def _read_line(descriptor: int) -> str | None:
    """The line a starting server writes; empty if it ended without one, None if it took too long."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if not poller.poll(_START_SECONDS * 1000):
        return None
    # One write of one short line: a pipe hands it over whole.
    return os.read(descriptor, _MAX_LINE_BYTES).decode(errors="replace").strip()
