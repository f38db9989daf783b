"""The container of a sample run: started, listened to, ended, and taken away."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import trio

from snapshotter.errors import CommandError
from snapshotter.sampling.ctr_client import Ctr, CtrError
from snapshotter.sampling.sample_root import cleaning_up

_PIECE_BYTES: Final = 64 << 10
_MAX_LINE_BYTES: Final = 1 << 20
_KILLED_SECONDS: Final = 15.0


class Stop(StrEnum):
    """Why a sample run was over."""

    EXIT = "it ended"
    PERIOD = "its time was up"
    LINE = "it printed the line"
    SIGNAL = "it was interrupted"


class SampleError(CommandError):
    """The sample did not run."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the sample did not run: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a container is ended that does not end by itself.

    Attributes:
        period_seconds: after this time.
        wait_on_line: when a line of its output contains this; empty to wait for none.
        on_output: is given what it prints.
    """

    period_seconds: float
    wait_on_line: str
    on_output: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended: why, and its exit status if that was by itself."""

    stop: Stop
    exit_status: int | None


class SampleContainer:
    """One container, run once. Its output is listened to until it ends."""

    def __init__(self, ctr: Ctr, name: str, limits: Limits) -> None:
        self._ctr = ctr
        self._name = name
        self._limits = limits
        self._over = trio.Event()
        self._stop: Stop | None = None
        self._running = False

    @property
    def is_running(self) -> bool:
        """Whether there is something to end."""
        return self._running and self._stop is None

    def end(self, why: Stop) -> None:
        """Says that the run is over; the first reason counts."""
        self._stop = self._stop or why
        self._over.set()

    async def run(self, spec: bytes) -> Ended:
        """Runs the container to its end; nothing of it is left.

        Raises:
            SampleError: it could not be started; its stderr said why.
            CtrError: it could not be taken away.
        """
        with tempfile.TemporaryDirectory(prefix="pyestargz-sample-") as text:
            directory = Path(text)
            config, pid_file = directory / "config.json", directory / "pid"
            config.write_bytes(spec)
            words = ("run", "--rm", "--config", str(config), "--pid-file", str(pid_file))
            try:
                status = await self._run(self._ctr.argv(*words, self._name))
            finally:
                await self._remove()
            if self._stop is None or not pid_file.exists():
                raise SampleError(f"ctr run ended with status {status}")
            return Ended(self._stop, status if self._stop is Stop.EXIT else None)

    async def _run(self, argv: list[str]) -> int:
        # In a session of its own: the terminal's Ctrl-C is for us, and ends the run in order.
        process = await trio.lowlevel.open_process(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, process)
                nursery.start_soon(self._wait, process)
                with trio.move_on_after(self._limits.period_seconds):
                    await self._over.wait()
                self.end(Stop.PERIOD)
                if process.returncode is None:
                    await self._kill(process)
                nursery.cancel_scope.cancel()
        finally:
            async with cleaning_up():
                if process.returncode is None:
                    process.kill()
                status = await process.wait()
        return status

    async def _wait(self, process: trio.Process) -> None:
        await process.wait()
        self.end(Stop.EXIT)

    async def _kill(self, process: trio.Process) -> None:
        with contextlib.suppress(
            CtrError
        ):  # it may just have ended; what is left is removed by force
            await self._ctr.call("tasks", "kill", "--all", "--signal", "SIGKILL", self._name)
        with trio.move_on_after(_KILLED_SECONDS):
            await process.wait()

    async def _listen(self, process: trio.Process) -> None:
        if process.stdout is None:
            raise AssertionError
        wanted, line = self._limits.wait_on_line.encode(), b""
        while data := await process.stdout.receive_some(_PIECE_BYTES):
            self._limits.on_output(bytes(data))
            if wanted:
                line = (line + data)[-_MAX_LINE_BYTES:]
                if wanted in line:
                    self.end(Stop.LINE)
                line = line.rpartition(b"\n")[2]

    async def _remove(self) -> None:
        """Takes away what ``ctr run --rm`` has left, which is nothing if it ended in order."""
        async with cleaning_up():
            if self._name not in (await self._ctr.call("containers", "ls", "-q")).split():
                return
            with contextlib.suppress(CtrError):  # there may be no task
                await self._ctr.call("tasks", "rm", "--force", self._name)
            await self._ctr.call("containers", "rm", self._name)
