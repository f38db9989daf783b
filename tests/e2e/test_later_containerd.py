"""What all versions of containerd do, with later ones than the machine's own, which all other tests use.

The image is small on purpose: what is tested is whether layers are downloaded, and whether they go.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from snapshotter.commands.containerd_checks import version_of
from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.cri import Cri
from tests.e2e.ctr import Ctr, new_container_id
from tests.e2e.images import default_cache, pause_image
from tests.e2e.later_containerd import RELEASES, LaterContainerd, Release, programs_or_skip
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import Snapshotter, disk_bytes, run_cli
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


@dataclass(frozen=True, slots=True)
class LaterNode:
    """A later containerd with our snapshotter, and a lazy image for it."""

    release: Release
    containerd: LaterContainerd
    snapshotter: Snapshotter
    image: str

    def ctr(self, namespace: str = "default") -> Ctr:
        return self.containerd.ctr(namespace=namespace)

    def assert_lazy(self, namespace: str = "default") -> None:
        """Nothing of the layers was downloaded by containerd."""
        layers = set(PublishedImage(self.image).layer_digests)
        assert layers.isdisjoint(self.ctr(namespace).content_digests())

    def run(self, namespace: str = "default") -> None:
        """Runs a container of it, for a moment."""
        ctr, container = self.ctr(namespace), new_container_id("later")
        ctr("run", "--detach", "--snapshotter", "stargz", self.image, container)
        assert re.search(rf"{container}\s+\d+\s+RUNNING", ctr("tasks", "ls"))
        ctr("tasks", "rm", "--force", container)
        ctr("containers", "rm", container)

    def remove(self, namespace: str = "default") -> None:
        """Removes the image, and collects garbage."""
        self.snapshotter.check_images()
        self.ctr(namespace)("images", "rm", "--sync", self.image)

    def layer_bytes(self) -> int:
        """What all layers take on the disk."""
        return disk_bytes(self.snapshotter.root / "stargz" / "layers")


@pytest.fixture(scope="module", params=RELEASES, ids=str)
def node(
    request: pytest.FixtureRequest, registry: RealRegistry, pause_name: str
) -> Iterator[LaterNode]:
    release: Release = request.param
    programs = programs_or_skip(release)
    assert version_of(programs.version())[: len(release.generation)] == release.generation
    name = f"{registry.host}/pause:lazy"
    run_cli("convert", f"oci:{pause_image(default_cache()).layout}", name)
    with (
        Snapshotter(FETCH_WHAT_IS_READ) as snapshotter,
        LaterContainerd(programs, snapshotter.socket, sandbox_image=pause_name) as containerd,
    ):
        yield LaterNode(release, containerd, snapshotter, name)


def test_two_namespaces_pull_lazily_and_share_what_was_fetched(
    node: LaterNode, new_accesses: Callable[[], list[Access]]
) -> None:
    node.ctr().rpull(node.image)
    prepared = node.snapshotter.wait_for_log('"remote-snapshot-prepared"')
    assert json.loads(prepared)["remote-snapshot-prepared"] == "true"
    node.run()
    new_accesses()
    node.ctr("other").rpull(node.image)
    node.run("other")
    assert [a for a in new_accesses() if a.is_blob_read and not a.is_containerd] == []
    for namespace in ("default", "other"):
        node.assert_lazy(namespace)
    node.remove()
    node.run("other")
    assert node.layer_bytes() > 0
    node.remove("other")
    assert node.ctr("other").snapshot_keys(snapshotter="stargz") == set()
    assert node.layer_bytes() == 0


def test_pulls_through_cri_are_lazy_and_pods_run(node: LaterNode) -> None:
    with Cri(node.containerd.socket) as cri:
        cri.pull(node.image)
        node.assert_lazy("k8s.io")
        cri.run_container(cri.run_pod(), node.image, ["/pause"])
        assert node.layer_bytes() > 0
    node.snapshotter.check_images()
    with Cri(node.containerd.socket) as cri:
        cri.remove_image(node.image)
    assert node.layer_bytes() == 0


def test_pulls_of_the_transfer_service_are_lazy(node: LaterNode) -> None:
    if node.release.generation < (2,):
        return  # its transfer service passes no labels to snapshotters
    node.ctr()("images", "pull", "--plain-http", "--snapshotter", "stargz", node.image)
    node.assert_lazy()
    node.run()
    node.remove()
    assert node.layer_bytes() == 0
