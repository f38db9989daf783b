"""containerd's own command line clients, with a deadline for each call and the reason of a failure in the message."""

import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_numbers = itertools.count(1)


class CommandFailedError(AssertionError):
    """A command did not succeed; the message carries what it printed."""


def run_command(
    argv: Sequence[str | Path], *, timeout_seconds: float = 60.0, cwd: Path | None = None
) -> str:
    """Run a command to its end and return its stdout.

    Raises:
        CommandFailedError: The exit status is not 0, or the timeout passed.
    """
    words = [os.fspath(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            check=False,
            cwd=cwd,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailedError(
            f"{' '.join(words)}: no end after {timeout_seconds} s: {error.stderr!r}"
        ) from None
    if done.returncode:
        raise CommandFailedError(
            f"{' '.join(words)}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout


def new_container_id(purpose: str) -> str:
    """Return an id no other container of this machine has: runc keeps its state in one place for all."""
    return f"pyestargz-{purpose}-{os.getpid()}-{next(_numbers)}"


class Ctr:
    """`ctr` and `ctr-remote` against one containerd socket and namespace."""

    def __init__(
        self, socket: Path, *, namespace: str = "default", program: str | Path = "ctr"
    ) -> None:
        self.socket = socket
        self.namespace = namespace
        self._program = program

    def __call__(self, *words: str | Path, timeout_seconds: float = 60.0) -> str:
        """Run `ctr` with these words and return its stdout."""
        return run_command(
            [self._program, *self._target(), *words], timeout_seconds=timeout_seconds
        )

    def remote(self, *words: str | Path, timeout_seconds: float = 120.0) -> str:
        """Run `ctr-remote` with these words and return its stdout."""
        return run_command(["ctr-remote", *self._target(), *words], timeout_seconds=timeout_seconds)

    def pull(self, image: str, *, snapshotter: str = "overlayfs") -> str:
        """Pull and unpack an image the ordinary way: no labels reach the snapshotter."""
        return self(
            "images",
            "pull",
            "--plain-http",
            "--snapshotter",
            snapshotter,
            image,
            timeout_seconds=120,
        )

    def push(self, image: str) -> str:
        """Push an image from the content store to its registry."""
        return self("images", "push", "--plain-http", image, timeout_seconds=120)

    def rpull(self, image: str, *, snapshotter: str = "stargz") -> str:
        """Pull an image lazily, as stargz-snapshotter's own client does."""
        return self.remote("images", "rpull", "--plain-http", "--snapshotter", snapshotter, image)

    def convert(self, source: str, target: str, *, kind: str) -> str:
        """Convert an image in the content store with stargz-snapshotter's own converter.

        Args:
            source: the image.
            target: the name of the new one.
            kind: the converter's option, `--estargz` or `--zstdchunked`.
        """
        return self.remote("images", "convert", kind, "--oci", source, target, timeout_seconds=200)

    def run(
        self, image: str, argv: Sequence[str], *, snapshotter: str, timeout_seconds: float = 60.0
    ) -> str:
        """Run a container to its end and return what it printed, on stderr too.

        Its shim writes that to a file: ctr itself does not wait for the last of it when it deletes the task, and on a busy machine that
        can be all (containerd's issue 5741).
        """
        with tempfile.TemporaryDirectory(prefix="ctr-") as directory:
            log = Path(directory) / "output"
            words = ("run", "--rm", "--log-uri", f"file://{log}", "--snapshotter", snapshotter)
            try:
                self(*words, image, new_container_id("run"), *argv, timeout_seconds=timeout_seconds)
            except CommandFailedError as error:
                printed = log.read_text(errors="replace") if log.exists() else ""
                raise CommandFailedError(f"{error}\n{printed[-4000:]}") from None
            return log.read_text(errors="replace")

    def content_digests(self) -> set[str]:
        """Return the digests of everything in the content store."""
        return set(self("content", "ls", "-q").split())

    def snapshot_keys(self, *, snapshotter: str) -> set[str]:
        """Return the keys of a snapshotter's snapshots."""
        lines = self("snapshots", "--snapshotter", snapshotter, "ls").splitlines()[1:]
        return {line.split()[0] for line in lines}

    def wait_for_snapshotter(self, snapshotter: str, *, deadline_seconds: float = 20.0) -> None:
        """Wait until containerd has connected to a snapshotter that was restarted.

        containerd tells nobody when it has: each call makes it try, and fails until it could. Unlike kubelet, ctr does not ask again.

        Raises:
            CommandFailedError: It has not by the deadline, or fails in another way.
        """
        end = time.monotonic() + deadline_seconds
        while True:
            try:
                self.snapshot_keys(snapshotter=snapshotter)
            except CommandFailedError as error:
                if "unavailable" not in str(error) or time.monotonic() > end:
                    raise
            else:
                return

    def _target(self) -> list[str]:
        return ["--address", os.fspath(self.socket), "--namespace", self.namespace]


class Conversation:
    """A running container that answers each line on its stdin with one line on its stdout.

    Use as a context manager: leaving it closes stdin, which must end the container.
    """

    def __init__(self, ctr: Ctr, image: str, argv: Sequence[str], *, snapshotter: str) -> None:
        self._ctr = ctr
        self.container = new_container_id("talk")
        self._popen = subprocess.Popen(
            [
                *("ctr", *ctr._target(), "run", "--rm", "--snapshotter", snapshotter),
                *(image, self.container, *argv),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._popen.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.communicate()
            raise

    def ask(self, line: str) -> str:
        """Send one line and return the answer (bounded by the test's own timeout).

        Raises:
            CommandFailedError: The container ended instead of answering.
        """
        if self._popen.stdin is None or self._popen.stdout is None:
            raise CommandFailedError(f"{self.container}: not connected")
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()
        answer = self._popen.stdout.readline()
        if not answer.endswith("\n"):
            raise CommandFailedError(f"{self.container}: ended instead of answering {line!r}")
        return answer.rstrip("\n")

    def run(self, argv: Sequence[str]) -> str:
        """Run another process in the container to its end and return what it printed."""
        words = ("tasks", "exec", "--exec-id", new_container_id("exec"), self.container)
        return self._ctr(*words, *argv)
