"""One start of a container, taken apart: pull, create, run until ready; and what it cost."""

import contextlib
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

from benchmarks.images import SOCKET_DIRECTORY
from benchmarks.machine import Usage
from benchmarks.network import EmulatedNetwork, RequestKind, Traffic
from benchmarks.workloads import NotReadyError, Workload
from tests.e2e.ctr import CommandFailedError, Ctr, new_container_id

_DEADLINE_SECONDS = 900.0
_ERROR_BYTES = 4000  # of what a container that failed said
_NOTHING = Usage(0.0, 0)


class FellBackError(RuntimeError):
    """A layer that should have been lazy was downloaded whole: the comparison would be a lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What one start took and cost.

    Attributes:
        began: on ``time.monotonic``.
        pull_seconds: until the image was there, as containerd sees it.
        create_seconds: until the container was.
        run_seconds: from then until it was ready.
        traffic: what passed over the network meanwhile.
        cpu_seconds: what the snapshotter's processes used; 0 if it is containerd's own.
        rss_bytes: their memory, when the container was ready.
    """

    began: float
    pull_seconds: float
    create_seconds: float
    run_seconds: float
    traffic: Traffic
    cpu_seconds: float
    rss_bytes: int

    @property
    def total_seconds(self) -> float:
        """From the command to the container that is ready."""
        return self.pull_seconds + self.create_seconds + self.run_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Where containers are started.

    Attributes:
        ctr: the client of its containerd.
        network: what is between it and the registry.
        snapshotter: the name by which containerd knows the snapshotter.
        usage: what the snapshotter's processes used so far.
    """

    ctr: Ctr
    network: EmulatedNetwork
    snapshotter: str
    usage: Callable[[], Usage] = lambda: _NOTHING

    @property
    def is_lazy(self) -> bool:
        """Whether layers are expected not to be downloaded."""
        return self.snapshotter != "overlayfs"

    def pull(self, image: str) -> None:
        """Pulls an image as its users would: lazily, with the client of lazy snapshotters, or the ordinary way."""
        words = ("--plain-http", "--snapshotter", self.snapshotter, image)
        if self.is_lazy:
            self.ctr.remote("images", "rpull", *words, timeout_seconds=_DEADLINE_SECONDS)
        else:
            self.ctr("images", "pull", *words, timeout_seconds=_DEADLINE_SECONDS)

    @contextmanager
    def start(self, image: str, workload: Workload) -> Iterator[Start]:
        """Starts a container and measures it; leaving ends the container and removes it.

        Raises:
            CommandFailedError: a step failed.
            NotReadyError: the container ended before it was ready, or was not by the deadline.
        """
        container = new_container_id("bench")
        with tempfile.TemporaryDirectory(prefix="pyestargz-bench-") as name:
            directory = Path(name)
            directory.chmod(0o777)
            before, used = self.network.traffic(), self.usage()
            began = time.monotonic()
            self.pull(image)
            pulled = time.monotonic()
            self._create(image, container, workload, directory)
            created = time.monotonic()
            with self._running(container, workload, directory):
                ready = time.monotonic()
                traffic, usage = self.network.traffic(), self.usage()
                yield Start(
                    began=began,
                    pull_seconds=pulled - began,
                    create_seconds=created - pulled,
                    run_seconds=ready - created,
                    traffic=traffic.since(before),
                    cpu_seconds=usage.cpu_seconds - used.cpu_seconds,
                    rss_bytes=usage.rss_bytes,
                )

    def _create(self, image: str, container: str, workload: Workload, directory: Path) -> None:
        mount = f"type=bind,src={directory},dst=/{SOCKET_DIRECTORY},options=rbind:rw"
        words = ("--snapshotter", self.snapshotter, "--mount", mount)
        argv = ("--", image, container, *workload.argv)  # else its options are taken for ctr's
        self.ctr("containers", "create", *words, *argv, timeout_seconds=_DEADLINE_SECONDS)

    @contextmanager
    def _running(self, container: str, workload: Workload, directory: Path) -> Iterator[None]:
        """Starts a container; inside, it is ready. What it said on stderr is told if it never is."""
        address = ("--address", self.ctr.socket, "--namespace", self.ctr.namespace)
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                ["ctr", *address, "tasks", "start", container],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                output = cast("BufferedReader", process.stdout)
                workload.wait_ready(output, directory, deadline_seconds=_DEADLINE_SECONDS)
                yield
            except NotReadyError as error:
                errors.seek(0)
                error.add_note(errors.read()[-_ERROR_BYTES:].decode(errors="replace"))
                raise
            finally:
                with contextlib.suppress(CommandFailedError):  # it may have ended by itself
                    self.ctr("tasks", "kill", "--signal", "SIGKILL", container)
                process.communicate()  # the client removes the task when it has ended
        self.ctr("containers", "rm", container)


def require_lazy(start: Start, layer_bytes: Mapping[str, int]) -> None:
    """Looks for layers that were downloaded: containerd itself asked for all of their content.

    Args:
        start: what happened.
        layer_bytes: the sizes of the image's layers, by digest.

    Raises:
        FellBackError: one was.
    """
    downloaded = Counter[str]()
    for request in start.traffic.requests:
        if request.kind is RequestKind.BLOB and request.user_agent.startswith("containerd/"):
            downloaded[request.digest] += request.body_bytes
    for digest, size in layer_bytes.items():
        if downloaded[digest] >= size:
            raise FellBackError(f"{digest} was downloaded: {size} bytes")
