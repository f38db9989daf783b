"""What has been fetched needs no registry any more, also after a restart of everything; and no process of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Conversation
from tests.e2e.leftovers import kill_processes_under, processes_under
from tests.e2e.logged_process import LoggedProcess
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.snapshotter_process import Snapshotter
from tests.e2e.specimens import big_file
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.fs.fs_server import drop_page_cache
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_BIG = "/specimens/content/big"


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.host) as proxy:
        yield proxy


@pytest.fixture
def snapshotter() -> Iterator[Snapshotter]:
    """As it comes: layers are completed in the background."""
    with Snapshotter() as snapshotter:
        yield snapshotter


def test_a_complete_image_needs_neither_registry_nor_snapshotter(
    snapshotter: Snapshotter, proxy: FaultyProxy, lazy_name: str
) -> None:
    image = PublishedImage(lazy_name)
    name = image.through(proxy.host)
    with Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd:
        ctr = containerd.ctr()
        ctr.rpull(name)
        _wait_complete(snapshotter, image)
        proxy.set_fault(Fault.REFUSED)
        with Conversation(ctr, name, ARGV, snapshotter="stargz") as container:
            assert container.ask(_BIG) == digest(big_file())
        snapshotter.stop()
        snapshotter.start()
        ctr.wait_for_snapshotter("stargz")
        with Conversation(ctr, name, ARGV, snapshotter="stargz") as container:
            assert container.ask(_BIG) == digest(big_file())
            _kill_all(snapshotter)
            drop_page_cache()
            assert container.ask(_BIG) == digest(big_file())
            assert container.run(["python3", "-c", "import json, ssl; print(3)"]) == "3\n"
            assert processes_under(snapshotter.directory) == {}
        snapshotter.start()
        ctr.wait_for_snapshotter("stargz")
        with Conversation(ctr, name, ARGV, snapshotter="stargz") as container:
            assert container.ask(_BIG) == digest(big_file())
    assert proxy.faults_served == 0


def _kill_all(snapshotter: Snapshotter) -> None:
    """Kills the snapshotter, the fs server and the keeper."""
    killed = " ".join(processes_under(snapshotter.directory).values())
    assert all(name in killed for name in ("snapshotter.cli", "fs.server", "keeper"))
    kill_processes_under(snapshotter.directory)


def _wait_complete(snapshotter: Snapshotter, image: PublishedImage) -> None:
    log: list[str | Path] = [
        "tail",
        "--lines=+1",
        "--follow=name",
        "--retry",
        snapshotter.root / "fs.log",
    ]
    with LoggedProcess(log) as lines:
        for layer in image.layer_digests:
            lines.wait_for_line(f'"layer complete".*"{layer}"', deadline_seconds=60)
