"""Whatever dies, restarts or goes away, a container that reads all the time reads on, and reads what is right."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Node
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import digest
from tests.e2e.restless_reader import RestlessReader
from tests.e2e.snapshotter_process import CHECKOUT
from tests.e2e.specimens import big_file
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_FILES = {
    "/specimens/content/big": digest(big_file()),
    "/specimens/content/one-byte": digest(b"x"),
    "/specimens/rewritten": digest(b"second version\n"),
}
Disturbance = Callable[[Node, FaultyProxy, Path], None]


def _kill_snapshotter(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    node.snapshotter.kill()


def _terminate_snapshotter(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    node.snapshotter.process.stop()


def _upgrade_snapshotter(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    """Another installation takes over; the fs server of the old one serves on."""
    for package in ("estargz", "fs", "registry", "snapshotter"):
        shutil.copytree(CHECKOUT / package, tmp_path / package, dirs_exist_ok=True)
    node.snapshotter.process.stop()
    node.snapshotter.checkout = tmp_path


def _kill_both(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    node.snapshotter.kill()
    node.containerd.process.kill()


def _restart_containerd(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    node.containerd.stop()


def _lose_registry(node: Node, proxy: FaultyProxy, tmp_path: Path) -> None:
    proxy.set_fault(Fault.REFUSED)


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.host) as proxy:
        yield proxy


def test_a_container_reads_through_it_all(
    node: Node, proxy: FaultyProxy, lazy_name: str, tmp_path: Path
) -> None:
    """One container lives through every disturbance; after each, a new one can be started."""
    name = PublishedImage(lazy_name).through(proxy.host)
    node.ctr.rpull(name)
    with RestlessReader(node.ctr, name, _FILES) as reader:
        reader.assert_reads_on()
        for disturb in (
            _kill_snapshotter,
            _terminate_snapshotter,
            _upgrade_snapshotter,
            _kill_both,
            _restart_containerd,
            _lose_registry,
        ):
            disturb(node, proxy, tmp_path)
            reader.assert_reads_on()
            _put_right(node, proxy)
            assert node.ctr.run(name, ["sh", "-c", "echo 1"], snapshotter="stargz") == "1\n"
            reader.assert_reads_on()


def _put_right(node: Node, proxy: FaultyProxy) -> None:
    proxy.set_fault(Fault.NONE)
    if not node.snapshotter.process.is_running:
        node.snapshotter.start()
    if not node.containerd.process.is_running:
        node.containerd.start()
    node.ctr.wait_for_snapshotter("stargz")
