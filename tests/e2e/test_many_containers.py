"""One lazy image, many containers, two namespaces: fetched once, and gone from the disk with the last of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Node
from tests.e2e.ctr import new_container_id
from tests.e2e.leftovers import mounts_under
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import disk_bytes

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_CONTAINERS = 50
_START_SECONDS = 180.0  # of the slowest: all of them compete for the machine


def test_fifty_containers_start_from_one_lazy_image(
    node: Node,
    lazy_name: str,
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
) -> None:
    ctr, image = node.ctr, PublishedImage(lazy_name)
    ctr.rpull(lazy_name)
    new_accesses()
    names = [new_container_id("many") for _ in range(_CONTAINERS)]

    def start(name: str) -> None:
        words = ("run", "--detach", "--snapshotter", "stargz", lazy_name, name, "sleep", "1000")
        ctr(*words, timeout_seconds=_START_SECONDS)

    with ThreadPoolExecutor(_CONTAINERS) as threads:
        list(threads.map(start, names))
    running = {line.split()[0] for line in ctr("tasks", "ls").splitlines() if "RUNNING" in line}
    assert running == set(names)
    fetched = sum(a.size for a in new_accesses() if a.is_blob_read)
    report(f"{_CONTAINERS} containers started from {fetched:,} bytes of {image.layer_bytes:,}")
    assert fetched < image.layer_bytes / 4
    # All of them share what one mount serves.
    assert len(mounts_under(node.snapshotter.root)) <= 1 + 2 * len(image.layer_digests)

    with ThreadPoolExecutor(_CONTAINERS) as threads:
        list(
            threads.map(
                lambda name: ctr("tasks", "rm", "--force", name, timeout_seconds=_START_SECONDS),
                names,
            )
        )
    ctr("containers", "rm", *names)
    layers = node.snapshotter.root / "stargz" / "layers"
    assert disk_bytes(layers) > fetched / 2
    ctr("images", "rm", "--sync", lazy_name)
    assert ctr.snapshot_keys(snapshotter="stargz") == set()
    assert disk_bytes(layers) == 0
    assert list((node.snapshotter.root / "snapshotter" / "snapshots").iterdir()) == []


def test_two_namespaces_share_what_was_fetched(
    node: Node, lazy_name: str, new_accesses: Callable[[], list[Access]]
) -> None:
    first, second = node.ctr, node.containerd.ctr(namespace="other")
    run = ["sh", "-c", "echo 1"]
    first.rpull(lazy_name)
    assert first.run(lazy_name, run, snapshotter="stargz") == "1\n"
    new_accesses()
    second.rpull(lazy_name)
    assert second.run(lazy_name, run, snapshotter="stargz") == "1\n"
    assert [a for a in new_accesses() if a.is_blob_read and not a.is_containerd] == []
    first("images", "rm", "--sync", lazy_name)
    assert second.run(lazy_name, run, snapshotter="stargz") == "1\n"
    second("images", "rm", "--sync", lazy_name)
    assert second.snapshot_keys(snapshotter="stargz") == set()
