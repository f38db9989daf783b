"""The store as processes: starting, stopping, dying, refusing to start."""

import base64
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fs.settings import read_settings
from snapshotter.config import ServeSettings
from snapshotter.errors import ConfigError, StartupError
from snapshotter.store.daemon import StorePlace, serve
from snapshotter.unix_socket import is_listening
from tests.e2e.leftovers import (
    kill_processes_under,
    mounts_under,
    processes_under,
    unmount_all_under,
)
from tests.fakes.registry import FakeRegistry
from tests.fakes.service_manager import ServiceManager
from tests.snapshotter.store.images import push_image
from tests.snapshotter.store.test_layers import AMD64

pytestmark = pytest.mark.fuse


class Home:
    """Where one store lives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.mountpoint = self.root / "store"
        self.manager = ServiceManager(directory / "notify")

    def command(self, *options: str) -> list[str]:
        words = [sys.executable, "-m", "snapshotter.cli", "store"]
        return [*words, f"--root={self.root}", *options]

    @contextmanager
    def serving(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """A store that has said it is ready."""
        environment = os.environ | self.manager.environment
        command = self.command(str(self.mountpoint), *options)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as store:
            try:
                assert self.manager.next_state() == "READY=1"
                yield store
            finally:
                store.kill()

    def end(self, store: subprocess.Popen[str], number: signal.Signals) -> list[dict[str, str]]:
        store.send_signal(number)
        assert self.manager.next_state() == "STOPPING=1"
        assert store.wait(timeout=30) == 0
        assert store.stderr is not None
        return [json.loads(line) for line in store.stderr]

    def stop(self) -> None:
        done = subprocess.run(
            self.command("--stop"), capture_output=True, text=True, timeout=50, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert mounts_under(self.directory) == []
        assert processes_under(self.root) == {}


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="sto-") as name:
        home = Home(Path(name))
        with home.manager:
            try:
                yield home
            finally:
                kill_processes_under(home.directory)
                unmount_all_under(home.directory)


def use(layer: Path) -> None:
    with pytest.raises(FileNotFoundError):
        (layer / "use").open("w")


def test_layers_outlive_the_store_and_the_registry(home: Home) -> None:
    with FakeRegistry() as fake:
        image = push_image(fake, [b"what is read", b"what is not used"])
        name = base64.b64encode(str(image.reference).encode()).decode()
        used, unused = (home.mountpoint / name / str(layer.digest) for layer in image.layers)
        with home.serving() as store:
            use(used)
            directory = (used / "diff").readlink()
            assert (directory / "file").read_bytes() == b"what is read"
            assert (unused / "diff" / "file").exists()
            lines = home.end(store, signal.SIGTERM)
        assert [line["msg"] for line in lines if line["level"] != "info"] == []
        told = [line["layer"] for line in lines if line.get("remote-snapshot-prepared") == "true"]
        assert told == [str(layer.digest) for layer in image.layers]
        assert home.mountpoint not in mounts_under(home.directory)
        assert (directory / "file").read_bytes() == b"what is read"
    with home.serving():
        assert (used / "diff").readlink() == directory
        assert (used / "diff" / "file").read_bytes() == b"what is read"
        home.stop()


def refused(mountpoint: Path, root: Path) -> str:
    settings = ServeSettings(address=root / "store.sock", root=root)
    with pytest.raises(StartupError) as caught:
        serve(StorePlace(mountpoint, settings, AMD64), lambda: settings)
    return caught.value.what


def test_a_second_store_is_refused_and_a_successor_is_not(home: Home) -> None:
    config = home.directory / "config.toml"
    config.write_text("noprefetch = true\n")
    with home.serving() as store:
        other = home.directory / "other"
        assert refused(other / "mnt", home.root) == f"another store already uses {home.root}"
        taken = f"something is mounted on {home.mountpoint} already"
        assert refused(home.mountpoint, other) == taken
        assert home.mountpoint.is_dir()
        store.kill()
        store.wait(timeout=30)
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            os.statvfs(home.mountpoint)
        with home.serving(f"--config={config}") as successor:
            assert home.mountpoint.is_dir()
            assert is_listening(home.root / "store.sock")
            assert not read_settings(home.root / "fs.json").filling.prefetch
            reload(home, successor, config)
            lines = home.end(successor, signal.SIGINT)
    errors = [line["error"] for line in lines if line["level"] == "error"]
    assert errors == [f"{config}: noprefetch must be true or false, not 1"]
    assert mounts_under(home.directory) == []
    assert processes_under(home.root) == {}


def reload(home: Home, store: subprocess.Popen[str], config: Path) -> None:
    for text in ("", "noprefetch = 1\n"):
        config.write_text(text)
        store.send_signal(signal.SIGHUP)
        assert home.manager.next_state().startswith("RELOADING=1")
        assert home.manager.next_state() == "READY=1"
        assert read_settings(home.root / "fs.json").filling.prefetch


def test_the_root_of_a_snapshotter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snapshotter").mkdir()
    assert refused(tmp_path / "mnt", tmp_path) == f"{tmp_path} belongs to a snapshotter"


@pytest.mark.parametrize("path", ["/a:b", "/a,b"])
def test_a_name_that_storage_conf_cannot_have_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.conf"):
        StorePlace(Path(path), ServeSettings(), AMD64)
