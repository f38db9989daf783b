"""An image that our converter made runs after its bytes were asked for, not after they were downloaded."""

import json
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Node
from tests.e2e.ctr import Ctr
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import Snapshotter

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_PRINT = ["python3", "-c", "print(1)"]


def _assert_no_layer_was_downloaded(
    image: PublishedImage, ctr: Ctr, accesses: list[Access]
) -> None:
    layers = set(image.layer_digests)
    assert layers.isdisjoint(ctr.content_digests())
    downloaded = [access for access in accesses if access.is_containerd and access.is_blob_read]
    assert layers.isdisjoint(access.path.rpartition("/")[2] for access in downloaded)


def _summarize(
    image: PublishedImage, snapshotter: Snapshotter, accesses: list[Access]
) -> tuple[int, int, str]:
    document = json.loads(snapshotter.run("status", "--json", image.name))
    (status,) = document["images"]
    assert {layer["digest"] for layer in status["layers"]} == set(image.layer_digests)
    assert status["lazy"]
    assert status["blobBytes"] == image.layer_bytes
    stated = status["fetchedBytes"]
    ours = [access for access in accesses if access.is_blob_read and not access.is_containerd]
    sent = sum(access.size for access in ours)
    text = f"{sent:,} bytes of {image.layer_bytes:,} in {len(ours)} requests ({stated:,} by status)"
    return stated, sent, text


def test_pulled_by_cri_it_runs_without_its_layers(
    node: Node,
    lazy_name: str,
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
) -> None:
    image = PublishedImage(lazy_name)
    new_accesses()
    node.cri.pull(lazy_name)
    container = node.cri.run_container(node.cri.run_pod(), lazy_name, ["sleep", "1000"])
    result = node.cri.exec(container, _PRINT)
    assert (result.stdout, result.exit_code) == ("1\n", 0), result.stderr
    accesses = new_accesses()
    _assert_no_layer_was_downloaded(image, node.pod_ctr, accesses)
    stated, sent, text = _summarize(image, node.snapshotter, accesses)
    report(f"CRI pull, pod, python3 -c 'print(1)': {text}")
    assert 0 < stated <= sent * 1.05
    assert sent < image.layer_bytes / 2


def test_pulled_by_ctr_remote_it_runs_without_its_layers(
    node: Node,
    lazy_name: str,
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
) -> None:
    image = PublishedImage(lazy_name)
    new_accesses()
    node.ctr.rpull(lazy_name)
    assert node.ctr.run(lazy_name, _PRINT, snapshotter="stargz") == "1\n"
    accesses = new_accesses()
    _assert_no_layer_was_downloaded(image, node.ctr, accesses)
    _, sent, text = _summarize(image, node.snapshotter, accesses)
    report(f"rpull, python3 -c 'print(1)' by ctr run: {text}")
    assert sent < image.layer_bytes / 2


def test_what_was_read_is_not_fetched_again(
    node: Node, lazy_name: str, new_accesses: Callable[[], list[Access]]
) -> None:
    node.ctr.rpull(lazy_name)
    assert node.ctr.run(lazy_name, _PRINT, snapshotter="stargz") == "1\n"
    new_accesses()
    assert node.ctr.run(lazy_name, _PRINT, snapshotter="stargz") == "1\n"
    assert [access for access in new_accesses() if access.is_blob_read] == []


def test_everything_goes_when_the_image_goes(node: Node, lazy_name: str) -> None:
    node.ctr.rpull(lazy_name)
    kept = node.snapshotter.root / "stargz" / "layers" / "sha256"
    assert len(node.ctr.snapshot_keys(snapshotter="stargz")) == 4
    assert len(list(kept.iterdir())) == 4
    node.snapshotter.check_images()
    node.ctr("images", "rm", "--sync", lazy_name)
    assert node.ctr.snapshot_keys(snapshotter="stargz") == set()
    assert list(kept.iterdir()) == []
