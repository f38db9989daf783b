"""podman with storage of its own, which takes lazy layers from our store, and the store as its own process."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.ctr import CommandFailedError
from tests.e2e.leftovers import (
    kill_processes_under,
    mounts_under,
    processes_under,
    unmount_all_under,
)
from tests.e2e.logged_process import LoggedProcess, ProcessFailedError
from tests.e2e.snapshotter_process import CHECKOUT, COMMAND, run_cli

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{directory}/graph"
runroot = "{directory}/run"
[storage.options]
additionallayerstores = ["{mountpoint}:ref"]
"""
# What tests run in may forbid: raising limits, and systemd.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
tmp_dir = "{directory}/tmp"
"""
_REGISTRIES = '[[registry]]\nlocation = "{host}"\ninsecure = true\n'


class Store:
    """A running store; a context manager that proves nothing of it is left.

    Args:
        config: Text of its configuration file.
    """

    def __init__(self, config: str = "") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pyestargz-store-"))
        self.root = self.directory / "root"
        self.mountpoint = self.root / "store"
        self._config = self.directory / "config.toml"
        self._config.write_text(config)
        self._processes: list[LoggedProcess] = []

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
                run_cli("store", "--stop", "--root", self.root)
                left = processes_under(self.root), mounts_under(self.directory)
                if left != ({}, []):
                    raise ProcessFailedError(f"stopped, but left {left}\n{self.process.tail()}")
        finally:
            self._clean_up()

    @property
    def process(self) -> LoggedProcess:
        """The running store, or the last one that ran."""
        return self._processes[-1]

    def start(self) -> None:
        """Start the store (again) and wait until it serves.

        Raises:
            ProcessFailedError: It does not.
        """
        words = ("store", self.mountpoint, "--root", self.root, "--config", self._config)
        self._processes.append(LoggedProcess([*COMMAND, *words], cwd=CHECKOUT))
        self.process.wait_for_line('"msg":"serving layers"', deadline_seconds=30)

    def kept_layers(self) -> list[str]:
        """Return the names of the layers of which something is on disk."""
        kept = self.root / "stargz" / "layers" / "sha256"
        return sorted(path.name for path in kept.iterdir()) if kept.exists() else []

    def _clean_up(self) -> None:
        kill_processes_under(self.directory)
        unmount_all_under(self.directory)
        for process in self._processes:
            process.stop()
            process.join_log()
        shutil.rmtree(self.directory)


class Podman:
    """podman's command line, and its storage; a context manager that removes what it ran."""

    def __init__(self, store: Store, registry_host: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pyestargz-podman-"))
        self._environment = dict(os.environ)
        for name, text in (
            ("STORAGE", _STORAGE.format(directory=self.directory, mountpoint=store.mountpoint)),
            ("", _CONTAINERS.format(directory=self.directory)),
            ("REGISTRIES", _REGISTRIES.format(host=registry_host)),
        ):
            path = self.directory / f"{name or 'CONTAINERS'}.conf".lower()
            path.write_text(text)
            self._environment[f"CONTAINERS_{name}_CONF".replace("__", "_")] = str(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self("rm", "--all", "--force", "--time=0")
        finally:
            kill_processes_under(self.directory)
            unmount_all_under(self.directory)
            shutil.rmtree(self.directory)

    def __call__(self, *words: str, timeout_seconds: float = 100.0) -> str:
        """Run a command and return its stdout.

        Raises:
            CommandFailedError: It did not succeed.
        """
        done = subprocess.run(
            ["podman", *words],
            capture_output=True,
            check=False,
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_seconds,
        )
        if done.returncode:
            raise CommandFailedError(
                f"podman {' '.join(words)}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def graph_bytes(self) -> int:
        """Return what podman's own layers take."""
        graph = self.directory / "graph" / "overlay"
        files = [path for path in graph.rglob("*") if path.is_file() and not path.is_symlink()]
        return sum(path.stat().st_size for path in files)
