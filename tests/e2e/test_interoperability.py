"""Our images are ordinary for others, others' lazy images are lazy for us, and ordinary images stay ordinary."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Node
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import run_command
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_PRINT = ["python3", "-c", "print(1)"]


def test_our_image_runs_from_an_ordinary_pull(
    overlay_containerd: Containerd, lazy_name: str
) -> None:
    ctr = overlay_containerd.ctr()
    ctr.pull(lazy_name)
    assert set(PublishedImage(lazy_name).layer_digests) <= ctr.content_digests()
    assert ctr.run(lazy_name, _PRINT, snapshotter="overlayfs") == "1\n"


def test_our_layers_are_tar_gz_with_the_content_they_state(lazy_name: str, tmp_path: Path) -> None:
    image = PublishedImage(lazy_name)
    assert len(image.diff_ids) == len(image.layer_digests) == 4
    for digest, diff_id in zip(image.layer_digests, image.diff_ids, strict=True):
        blob, tar = tmp_path / "blob.tar.gz", tmp_path / "blob.tar"
        blob.write_bytes(image.read_blob(digest))
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == digest.removeprefix("sha256:")
        with tar.open("wb") as target:
            subprocess.run(["gzip", "-dc", blob], stdout=target, check=True)
        assert hashlib.sha256(tar.read_bytes()).hexdigest() == diff_id.removeprefix("sha256:")
        names = run_command(["tar", "-tf", tar]).splitlines()
        assert names[-1] == "stargz.index.json"


def test_stargz_snapshotters_converter_finds_our_table_of_contents(
    overlay_containerd: Containerd, lazy_name: str
) -> None:
    ctr = overlay_containerd.ctr()
    ctr.pull(lazy_name)
    for layer in PublishedImage(lazy_name).manifest["layers"]:
        stated = layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"]
        assert ctr.remote("images", "get-toc-digest", layer["digest"]).strip() == stated


@pytest.mark.parametrize("fixture", ["go_lazy_name", "go_zstd_name", "go_optimized_name"])
def test_an_image_of_stargz_snapshotters_converter_is_lazy(
    node: Node,
    fixture: str,
    request: pytest.FixtureRequest,
    new_accesses: Callable[[], list[Access]],
) -> None:
    name: str = request.getfixturevalue(fixture)
    image = PublishedImage(name)
    new_accesses()
    node.cri.pull(name)
    container = node.cri.run_container(node.cri.run_pod(), name, ["sleep", "1000"])
    assert node.cri.exec(container, _PRINT).stdout == "1\n"
    assert set(image.layer_digests).isdisjoint(node.pod_ctr.content_digests())
    ours = [access for access in new_accesses() if access.is_blob_read and not access.is_containerd]
    assert 0 < sum(access.size for access in ours) < image.layer_bytes / 2


def test_an_ordinary_image_is_pulled_by_containerd_alone(
    node: Node, plain_name: str, new_accesses: Callable[[], list[Access]]
) -> None:
    layers = set(PublishedImage(plain_name).layer_digests)
    new_accesses()
    node.cri.pull(plain_name)
    container = node.cri.run_container(node.cri.run_pod(), plain_name, ["sleep", "1000"])
    assert node.cri.exec(container, _PRINT).stdout == "1\n"
    assert layers <= node.pod_ctr.content_digests()
    assert [access for access in new_accesses() if not access.is_containerd] == []
