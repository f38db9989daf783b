"""A real containerd in a temporary directory, with whatever snapshotters a test plugs in."""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from tests.e2e.ctr import CommandFailedError, Ctr
from tests.e2e.leftovers import (
    kill_processes_under,
    mounts_under,
    processes_under,
    unmount_all_under,
)
from tests.e2e.logged_process import LoggedProcess, ProcessFailedError

_NAMESPACES = ("default", "k8s.io")
_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse(status=SERVING)

_CONFIG = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"

[grpc]
  address = "{socket}"

[debug]
  level = "debug"

[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true # lowering it may be forbidden where tests run
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{directory}/cni" # pods of these tests use the host's network namespace
    conf_dir = "{directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{cri_snapshotter}"
    disable_snapshot_annotations = false
"""

_PLUGIN = """
[proxy_plugins.{name}]
  type = "snapshot"
  address = "{socket}"
  [proxy_plugins.{name}.exports]
    root = "{directory}/root"
"""


class LeftoverError(AssertionError):
    """Processes or mounts outlived the containerd of a test."""


class Containerd:
    """A running containerd; a context manager that leaves no process and no mount behind.

    Args:
        snapshotters: Proxy snapshotters to plug in: name and socket.
        cri_snapshotter: The snapshotter CRI unpacks images with.
        sandbox_image: The image of the pod sandboxes CRI makes.
    """

    config_template: str = _CONFIG
    plugin_template: str = _PLUGIN

    def __init__(
        self,
        *,
        snapshotters: Mapping[str, Path] | None = None,
        cri_snapshotter: str = "overlayfs",
        sandbox_image: str = "127.0.0.1:1/pause:1",
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pyestargz-containerd-"))
        self.socket = self.directory / "containerd.sock"
        config = self.config_template.format(
            directory=self.directory,
            socket=self.socket,
            sandbox_image=sandbox_image,
            cri_snapshotter=cri_snapshotter,
        )
        for name, socket in (snapshotters or {}).items():
            config += self.plugin_template.format(
                name=name, socket=socket, directory=self.directory
            )
        self._config = self.directory / "config.toml"
        self._config.write_text(config)
        self._processes: list[LoggedProcess] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process(self) -> LoggedProcess:
        """The running daemon."""
        if not self._processes:
            raise ProcessFailedError("containerd is not running")
        return self._processes[-1]

    def ctr(self, *, namespace: str = "default") -> Ctr:
        """Return the command line client for one namespace."""
        return Ctr(self.socket, namespace=namespace)

    def launch(self, config: Path) -> LoggedProcess:
        """Start the daemon's process."""
        return LoggedProcess(["containerd", "--config", config])

    def start(self) -> None:
        """Start the daemon (again) and wait until it serves.

        Raises:
            ProcessFailedError: It does not serve within the deadline.
        """
        self._processes.append(self.launch(self._config))
        with grpc.insecure_channel(
            f"unix:{self.socket}",
            options=[
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.initial_reconnect_backoff_ms", 50),
            ],
        ) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check"
            )
            try:
                answer = check(b"", timeout=20, wait_for_ready=True)
            except grpc.RpcError as error:
                raise ProcessFailedError(f"{error}\n{self.process.tail()}") from error
        if answer != _SERVING:
            raise ProcessFailedError(f"containerd says {answer!r}\n{self.process.tail()}")

    def stop(self) -> None:
        """Stop the daemon; containers go on, as in an upgrade."""
        self.process.stop()

    def close(self) -> None:
        """End everything: containers, shims, the daemon, mounts, files.

        Raises:
            LeftoverError: Something would not go.
        """
        if self._processes and self.process.is_running:
            self._remove_containers()
            self.process.stop()
        kill_processes_under(self.directory)
        unmount_all_under(self.directory)
        for process in self._processes:
            process.stop()
            process.join_log()
        processes, mounts = processes_under(self.directory), mounts_under(self.directory)
        if processes or mounts:
            raise LeftoverError(f"containerd left {processes} and {mounts}")
        shutil.rmtree(self.directory)

    def _remove_containers(self) -> None:
        for namespace in _NAMESPACES:
            ctr = self.ctr(namespace=namespace)
            with contextlib.suppress(CommandFailedError):  # what is left is killed below
                for task in ctr("tasks", "ls", "-q", timeout_seconds=20).split():
                    ctr("tasks", "rm", "--force", task, timeout_seconds=20)
