"""A directory in which daemons live, one after the other, and which is left without processes and mounts."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.e2e.leftovers import kill_processes_under, unmount_all_under
from tests.snapshotter.remote_snapshots import RemoteSnapshots


class Home:
    """Where one daemon lives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = directory / "run" / "grpc.sock"
        self.root = directory / "root"
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(directory / "notify"))
        self.notifications.settimeout(30)

    def command(self, *options: str) -> list[str]:
        words = [sys.executable, "-m", "snapshotter.cli", "serve"]
        return [*words, f"--address={self.address}", f"--root={self.root}", *options]

    @contextmanager
    def serving(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A daemon that has said it is ready."""
        environment = os.environ | {"NOTIFY_SOCKET": str(self.directory / "notify")}
        with subprocess.Popen(
            self.command(*options), stderr=subprocess.PIPE, text=True, env=environment
        ) as daemon:
            try:
                assert self.notifications.recv(100) == b"READY=1"
                yield daemon
            finally:
                daemon.kill()

    @contextmanager
    def snapshots(self) -> Iterator[RemoteSnapshots]:
        with grpc.insecure_channel(f"unix:{self.address}") as channel:
            yield RemoteSnapshots(channel)

    def stop(self) -> None:
        """Ends everything, which must succeed."""
        done = self.run("--stop")
        log = self.root / "fs.log"
        told = log.read_text()[-10000:] if log.exists() else ""
        assert (done.returncode, done.stderr) == (0, ""), told

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*options), capture_output=True, text=True, timeout=50, check=False
        )


@contextmanager
def home_in(directory: Path) -> Iterator[Home]:
    """A home that nothing is left of."""
    home = Home(directory)
    try:
        yield home
    finally:
        home.notifications.close()
        kill_processes_under(home.directory)
        unmount_all_under(home.directory)
