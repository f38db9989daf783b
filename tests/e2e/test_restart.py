"""The snapshotter may die, and be replaced, without a container noticing."""

import json
import os
import signal

import pytest

from snapshotter.unix_socket import listening
from tests.e2e.conftest import Node
from tests.e2e.ctr import CommandFailedError, Conversation, new_container_id
from tests.e2e.leftovers import processes_under, wait_for_exit
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.specimens import big_file

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_SMALL, _BIG = "/specimens/content/one-byte", "/specimens/content/big"


def test_containers_read_on_when_the_snapshotter_is_killed(node: Node, lazy_name: str) -> None:
    ctr = node.ctr
    ctr.rpull(lazy_name)
    with Conversation(ctr, lazy_name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_SMALL) == digest(b"x")
        snapshots = ctr.snapshot_keys(snapshotter="stargz")
        node.snapshotter.kill()
        assert container.ask(_BIG) == digest(big_file())
        node.snapshotter.start()
        ctr.wait_for_snapshotter("stargz")
        assert ctr.snapshot_keys(snapshotter="stargz") == snapshots
        assert ctr.run(lazy_name, ["python3", "-c", "print(2)"], snapshotter="stargz") == "2\n"
        assert container.ask("/specimens/rewritten") == digest(b"second version\n")


def test_containers_read_on_when_the_fs_server_is_killed(node: Node, lazy_name: str) -> None:
    ctr = node.ctr
    ctr.rpull(lazy_name)
    with Conversation(ctr, lazy_name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_SMALL) == digest(b"x")
        with listening(node.snapshotter.root / "fs.sock") as server:
            assert server is not None
            server.send(signal.SIGKILL)
            assert server.wait(timeout_seconds=10)
        assert container.ask(_BIG) == digest(big_file())  # the snapshotter brings another one
        assert ctr.run(lazy_name, ["python3", "-c", "print(2)"], snapshotter="stargz") == "2\n"
        assert container.ask("/specimens/rewritten") == digest(b"second version\n")


def test_containers_that_lost_their_layers_are_named(node: Node, lazy_name: str) -> None:
    """Fs server and keeper die together, with nobody else to hold the connection."""
    ctr, container = node.ctr, new_container_id("lost")
    ctr.rpull(lazy_name)
    sleep = ["python3", "-c", "import time; time.sleep(1000)"]
    ctr("run", "--detach", "--snapshotter", "stargz", lazy_name, container, *sleep)
    assert _lost(node) == []
    _kill_fs_server_and_keeper(node)
    assert _lost(node) == [f"default/{container}"]
    assert f"container default/{container} has lost its layers" in _status(node)
    with pytest.raises(CommandFailedError, match=f"problem  container    default/{container}"):
        node.snapshotter.run("doctor", "--containerd-address", node.containerd.socket)
    assert ctr.run(lazy_name, ["python3", "-c", "print(3)"], snapshotter="stargz") == "3\n"
    ctr("task", "kill", "--signal", "SIGKILL", container)
    ctr("task", "delete", container)
    assert _lost(node) == []
    ctr("task", "start", "--detach", container)
    assert _lost(node) == []
    ctr("task", "delete", "--force", container)
    ctr("container", "delete", container)


def _status(node: Node, *words: str) -> str:
    return node.snapshotter.run("status", "--containerd-address", node.containerd.socket, *words)


def _lost(node: Node) -> list[str]:
    return [one["container"] for one in json.loads(_status(node, "--json"))["restartNeeded"]]


def _kill_fs_server_and_keeper(node: Node) -> None:
    """Both at once: a fs server that lives on would start another keeper. The snapshotter brings another one of these."""
    (keeper,) = (
        pid
        for pid, command in processes_under(node.snapshotter.root).items()
        if "fs.erofs.keeper" in command
    )
    lines_before = len(node.snapshotter.process.lines())
    with listening(node.snapshotter.root / "fs.sock") as server:
        assert server is not None
        server.send(signal.SIGSTOP)
        os.kill(keeper, signal.SIGKILL)
        assert wait_for_exit([keeper], deadline_seconds=10)
        server.send(signal.SIGKILL)
        assert server.wait(timeout_seconds=10)
    node.snapshotter.process.wait_for_line(
        "fs server started", deadline_seconds=30, after=lines_before
    )


def test_an_image_pulled_before_a_full_stop_runs_after_it(node: Node, lazy_name: str) -> None:
    ctr = node.ctr
    ctr.rpull(lazy_name)
    assert ctr.run(lazy_name, ["python3", "-c", "print(1)"], snapshotter="stargz") == "1\n"
    node.snapshotter.stop()
    node.snapshotter.start()
    ctr.wait_for_snapshotter("stargz")
    assert ctr.run(lazy_name, ["python3", "-c", "print(2)"], snapshotter="stargz") == "2\n"


def test_containerd_finds_its_snapshots_after_a_restart(node: Node, lazy_name: str) -> None:
    ctr = node.ctr
    ctr.rpull(lazy_name)
    snapshots = ctr.snapshot_keys(snapshotter="stargz")
    node.containerd.stop()
    node.containerd.start()
    assert ctr.snapshot_keys(snapshotter="stargz") == snapshots
    assert ctr.run(lazy_name, ["python3", "-c", "print(1)"], snapshotter="stargz") == "1\n"
