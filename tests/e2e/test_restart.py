"""The snapshotter may die, and be replaced, without a container noticing."""

import signal

import pytest

from snapshotter.unix_socket import listening
from tests.e2e.conftest import Node
from tests.e2e.ctr import Conversation
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
