"""The daemon as processes: starting, stopping, restarting, refusing to start."""

import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from fs.settings import read_settings
from snapshotter.config import TcpAddress
from snapshotter.mounts import Kind
from snapshotter.unix_socket import is_listening
from tests.e2e.leftovers import (
    kill_processes_under,
    mounts_under,
    processes_under,
)
from tests.snapshotter.daemon_home import Home, home_in
from tests.snapshotter.lazy_images import lazy_labels
from tests.snapshotter.test_http_endpoint import get_tcp

pytestmark = pytest.mark.fuse


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="dmn-") as name, home_in(Path(name)) as home:
        yield home


def end(home: Home, daemon: subprocess.Popen[str], number: signal.Signals) -> list[dict[str, str]]:
    daemon.send_signal(number)
    assert home.manager.next_state() == "STOPPING=1"
    assert daemon.wait(timeout=30) == 0
    assert daemon.stderr is not None
    return [json.loads(line) for line in daemon.stderr]


def test_ending_the_daemon_leaves_everything_mounted(home: Home) -> None:
    with home.serving() as daemon:
        assert home.address.stat().st_mode & 0o777 == 0o600
        assert home.address.parent.stat().st_mode & 0o777 == 0o700
        assert home.root.stat().st_mode & 0o777 == 0o700
        with home.snapshots() as snapshots:
            snapshots.prepare("active", "", {"a": "1"})
            before = snapshots.stat("active")
        lines = end(home, daemon, signal.SIGTERM)
    assert [line["msg"] for line in lines if line["level"] != "info"] == []
    assert not home.address.exists()
    mounts = mounts_under(home.directory)
    assert is_listening(home.root / "fs.sock")
    assert home.root / "stargz" / "mnt" in mounts
    with home.serving(), home.snapshots() as snapshots:
        assert snapshots.stat("active") == before
        assert mounts_under(home.directory) == mounts
    home.stop()


def test_a_killed_daemon_is_succeeded(home: Home) -> None:
    with home.serving() as daemon:
        daemon.kill()
        daemon.wait(timeout=30)
        assert home.address.exists()
        with home.serving(), home.snapshots() as snapshots:
            assert list(snapshots.walk()) == []
        home.stop()


def test_where_all_processes_were_killed_the_next_life_goes_on(home: Home) -> None:
    with home.serving() as daemon:
        home.manager.wait_stored()
        daemon.kill()
        daemon.wait(timeout=30)
        kill_processes_under(home.root)
    before = mounts_under(home.root / "stargz" / "data")
    with home.serving_next_life():
        assert "connection of the data server taken over" in (home.root / "fs.log").read_text()
        assert mounts_under(home.root / "stargz" / "data") == before
        home.stop()
        assert home.manager.names_held() == set()


def test_stop_ends_all_and_leaves_nothing(home: Home) -> None:
    with home.serving() as daemon:
        done = home.run("--stop")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert daemon.wait(timeout=30) == 0
        assert processes_under(home.root) == {}
        assert mounts_under(home.directory) == []
    home.stop()


def test_an_interrupt_ends_all_and_leaves_nothing(home: Home) -> None:
    with home.serving() as daemon:
        end(home, daemon, signal.SIGINT)
    assert processes_under(home.root) == {}
    assert mounts_under(home.directory) == []


def test_the_configuration_is_read_again(home: Home) -> None:
    config = home.directory / "config.toml"
    config.write_text("noprefetch = true\n")
    with home.serving(f"--config={config}") as daemon:
        assert not read_settings(home.root / "fs.json").filling.prefetch
        for text, prefetches in (
            ("", True),
            ("noprefetch = 1\n", True),
            ("noprefetch = true", False),
        ):
            config.write_text(text)
            daemon.send_signal(signal.SIGHUP)
            assert home.manager.next_state().startswith("RELOADING=1")
            assert home.manager.next_state() == "READY=1"
            assert read_settings(home.root / "fs.json").filling.prefetch is prefetches
        lines = end(home, daemon, signal.SIGTERM)
    errors = [line["error"] for line in lines if line["level"] == "error"]
    assert errors == [f"{config}: noprefetch must be true or false, not 1"]
    assert (home.root / "fs.log").read_text().count("settings read again") == 2
    home.stop()


def test_root_of_a_user_namespace_needs_mounts_of_its_own(home: Home) -> None:
    command = ["unshare", "--user", "--map-root-user", *home.command()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "and a mount namespace that belongs to it" in done.stderr


def test_it_can_be_watched(home: Home, unused_port: int) -> None:
    config = home.directory / "config.toml"
    config.write_text(f'metrics_address = "127.0.0.1:{unused_port}"\n')
    address = TcpAddress("127.0.0.1", unused_port)
    with home.serving(f"--config={config}"), home.snapshots() as snapshots:
        snapshots.prepare("a", "", {})
        status, _, metrics = get_tcp(address, "/metrics")
        assert status == 200
        assert b'pyestargz_call_duration_seconds_count{code="OK",method="Prepare"} 1.0' in metrics
        assert get_tcp(address, "/healthz")[0] == 200
    home.stop()


def test_in_the_foreground_all_end_together(home: Home) -> None:
    with home.serving("--foreground-fs") as daemon:
        end(home, daemon, signal.SIGTERM)
    with listening_ended(home):
        assert mounts_under(home.directory) == []


@contextmanager
def listening_ended(home: Home) -> Iterator[None]:
    """The fs server may still be ending when the daemon has ended; --stop waits for it."""
    home.stop()
    assert processes_under(home.root) == {}
    yield


def test_two_daemons_do_not_share_a_root_or_an_address(home: Home) -> None:
    with home.serving():
        second = home.run(f"--address={home.directory}/other.sock")
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"another snapshotter already uses {home.root}" in second.stderr
        third = home.run(f"--root={home.directory}/other")
        assert third.returncode == 1
        assert f"another process listens on {home.address}" in third.stderr.splitlines()[-1]
        assert home.run("--stop", f"--root={home.directory}/other").returncode == 0


def test_an_fs_server_that_cannot_start(home: Home) -> None:
    home.root.mkdir()
    (home.root / "stargz").write_text("in the way")
    done = home.run()
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("pyestargz: fs server: ")
    assert processes_under(home.root) == {}


def test_ending_does_not_wait_for_a_registry(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, home.serving() as daemon:
        labels = lazy_labels() | {
            "containerd.io/snapshot/cri.image-ref": f"127.0.0.1:{silent.getsockname()[1]}/image:tag"
        }
        with home.snapshots() as snapshots, ThreadPoolExecutor(1) as threads:
            pull = threads.submit(snapshots.prepare, "extract", "", labels)
            connection, _ = silent.accept()
            assert snapshots.stat("extract").kind is Kind.ACTIVE
            daemon.terminate()
            with pytest.raises(grpc.RpcError):
                pull.result(timeout=30)
        assert daemon.wait(timeout=30) == 0
        connection.close()
        assert daemon.stderr is not None
        assert "traceback" not in daemon.stderr.read()
    assert home.manager.next_state() == "STOPPING=1"
    with home.serving(), home.snapshots() as snapshots:
        assert [record.name for record in snapshots.walk()] in ([], ["extract"])
        home.stop()
