"""Our snapshotter as its own processes, with a directory and a socket of its own."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import grpc

from fs.erofs.metadata_file import METADATA_NAME
from fs.present_file import DATA_NAME
from tests.e2e.ctr import run_command
from tests.e2e.leftovers import (
    kill_processes_under,
    mounts_under,
    processes_under,
    unmount_all_under,
)
from tests.e2e.logged_process import LoggedProcess, ProcessFailedError
from tests.fs.erofs_images import check_image_and_content

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "snapshotter.cli")
_STAT_MISSING = (
    b"\x12\x07missing"  # containerd.services.snapshots.v1.StatSnapshotRequest(key="missing")
)
_mounted: set[str] = set()
_checked: set[str] = set()


class Snapshotter:
    """A running snapshotter daemon; a context manager that proves nothing of it is left.

    Args:
        config: Text of its configuration file.

    Attributes:
        checkout: Where its code is from, when it is started the next time.
    """

    def __init__(self, config: str = "") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pyestargz-snapshotter-"))
        self.checkout = CHECKOUT
        self.socket = self.directory / "snapshotter.sock"
        self.root = self.directory / "root"
        self._config = self.directory / "config.toml"
        self._config.write_text(config)
        self._process: LoggedProcess | None = None
        self._ended: list[LoggedProcess] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.stop()
                self._assert_nothing_is_left()
        finally:
            self._clean_up()

    @property
    def process(self) -> LoggedProcess:
        """The running daemon."""
        if self._process is None:
            raise ProcessFailedError("the snapshotter is not running")
        return self._process

    def fs_log(self) -> list[str]:
        """Return what the fs server logged; its lines are in the file before a read fails for what they tell."""
        log = self.root / "fs.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def wait_for_log(self, pattern: str, *, deadline_seconds: float = 10.0) -> str:
        """Return the first log line that `pattern` is found in.

        Raises:
            ProcessFailedError: There is none by the deadline.
        """
        return self.process.wait_for_line(pattern, deadline_seconds=deadline_seconds)

    def configure(self, text: str) -> None:
        """Replace its configuration file; it is read at the next start."""
        self._config.write_text(text)

    def start(self) -> None:
        """Start the daemon (again) and wait until it answers.

        Raises:
            ProcessFailedError: It does not answer within the deadline.
        """
        if self._process is not None:
            self._ended.append(self._process)
        words = ("--address", self.socket, "--root", self.root, "--config", self._config)
        self._process = LoggedProcess(
            [*COMMAND, "serve", *words, "--log-level", "debug"], cwd=self.checkout
        )
        try:
            self._wait_until_serving()
        except grpc.RpcError as error:
            raise ProcessFailedError(f"{error}\n{self._process.tail()}") from error

    def run(self, *words: str | Path) -> str:
        """Run a `pyestargz` command that looks at this daemon and return its stdout.

        Raises:
            CommandFailedError: It did not succeed.
        """
        return run_cli(*words, "--address", self.socket, "--root", self.root)

    def kill(self) -> None:
        """Kill the daemon (SIGKILL); what it started goes on."""
        self.process.kill()

    def check_images(self) -> None:
        """Let erofs-utils look at every metadata image that is kept now; at each layer's only once.

        Raises:
            AssertionError: Something is wrong with one.
        """
        for line in self.fs_log():
            if '"layer mounted"' in line:
                _mounted.add(json.loads(line)["layer"])
        for image in (self.root / "stargz" / "layers").glob(f"*/*/{METADATA_NAME}"):
            layer = f"{image.parent.parent.name}:{image.parent.name}"
            if layer not in _checked:
                check_image_and_content(image, image.with_name(DATA_NAME))
                _checked.add(layer)

    def stop(self) -> None:
        """Stop the daemon and all it started, unmounting everything, as an administrator would."""
        self.check_images()
        run_cli("serve", "--stop", "--address", self.socket, "--root", self.root)
        self.process.wait(deadline_seconds=15)

    def _wait_until_serving(self) -> None:
        backoff = [("grpc.min_reconnect_backoff_ms", 50), ("grpc.initial_reconnect_backoff_ms", 50)]
        with grpc.insecure_channel(f"unix:{self.socket}", options=backoff) as channel:
            stat: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/containerd.services.snapshots.v1.Snapshots/Stat"
            )
            try:
                stat(_STAT_MISSING, timeout=20, wait_for_ready=True)
            except grpc.RpcError as error:
                if cast("grpc.Call", error).code() is not grpc.StatusCode.NOT_FOUND:
                    raise

    def _assert_nothing_is_left(self) -> None:
        processes, mounts = processes_under(self.directory), mounts_under(self.directory)
        if processes or mounts:
            raise ProcessFailedError(
                f"stopped, but left {processes} and {mounts}\n{self.process.tail()}"
            )

    def _clean_up(self) -> None:
        kill_processes_under(self.directory)
        unmount_all_under(self.directory)
        for process in [*self._ended, *([self._process] if self._process else [])]:
            process.stop()
            process.join_log()
        shutil.rmtree(self.directory)


def unchecked_layers() -> set[str]:
    """Return the layers that some daemon mounted through EROFS, and `check_images` has not seen."""
    return _mounted - _checked


def disk_bytes(root: Path) -> int:
    """Return what the files of a state directory take, those in mounts below it not counted."""
    device = root.stat().st_dev
    total = 0
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if os.lstat(f"{directory}/{name}").st_dev == device]
        total += sum(512 * os.lstat(f"{directory}/{name}").st_blocks for name in files)
    return total


def run_cli(*words: str | Path, timeout_seconds: float = 120.0) -> str:
    """Run `pyestargz` with these words and return its stdout.

    Raises:
        CommandFailedError: It did not succeed.
    """
    return run_command([*COMMAND, *words], timeout_seconds=timeout_seconds, cwd=CHECKOUT)


def cli_argv(words: Sequence[str | Path]) -> list[str]:
    """Return the argument list that runs `pyestargz` with these words from any directory."""
    return [os.fspath(word) for word in (*COMMAND, *words)]


def cli_environment() -> Mapping[str, str]:
    """Return an environment in which the command finds this checkout from any directory."""
    return os.environ | {"PYTHONPATH": str(CHECKOUT)}
