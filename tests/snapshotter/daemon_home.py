"""A directory in which daemons live, one after the other, and which is left without processes and mounts."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.e2e.leftovers import kill_processes_under, unmount_all_under
from tests.fakes.service_manager import ServiceManager
from tests.snapshotter.remote_snapshots import RemoteSnapshots


class Home:
    """Where one daemon lives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = directory / "run" / "grpc.sock"
        self.root = directory / "root"
        self.manager = ServiceManager(directory / "notify")

    def command(self, *options: str) -> list[str]:
        words = [sys.executable, "-m", "snapshotter.cli", "serve"]
        return [*words, f"--address={self.address}", f"--root={self.root}", *options]

    @contextmanager
    def serving_next_life(self) -> Iterator[subprocess.Popen[str]]:
        """A daemon that is given what the service manager holds, as systemd does it: from number 3 on, told in the environment."""
        (name,) = self.manager.names_held()
        held = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in self.manager.held[name]]
        told = {"LISTEN_FDS": str(len(held)), "LISTEN_FDNAMES": ":".join([name] * len(held))}
        moved = " ".join(f"{target}<&{number}" for target, number in enumerate(held, 3))
        shell = ["bash", "-c", f'exec {moved}; LISTEN_PID=$$ exec "$@"', "bash", *self.command()]
        try:
            with subprocess.Popen(
                shell,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | self.manager.environment | told,
                pass_fds=held,
            ) as daemon:
                try:
                    assert self.manager.next_state() == "READY=1"
                    yield daemon
                finally:
                    daemon.kill()
        finally:
            for number in held:
                os.close(number)

    @contextmanager
    def serving(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A daemon that has said it is ready."""
        environment = os.environ | self.manager.environment
        with subprocess.Popen(
            self.command(*options), stderr=subprocess.PIPE, text=True, env=environment
        ) as daemon:
            try:
                assert self.manager.next_state() == "READY=1"
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
    with home.manager:
        try:
            yield home
        finally:
            kill_processes_under(home.directory)
            unmount_all_under(home.directory)
