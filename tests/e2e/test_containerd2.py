"""containerd 2: pulls through its transfer service and through CRI are lazy."""

import json
import re
from collections.abc import Iterator

import pytest

from snapshotter.commands.containerd_checks import version_of
from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.containerd2 import Containerd2, Programs, fetch_containerd2
from tests.e2e.cri import Cri
from tests.e2e.ctr import CommandFailedError, new_container_id
from tests.e2e.images import default_cache, pause_image
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter, run_cli
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def programs() -> Programs:
    try:
        return fetch_containerd2(default_cache())
    except CommandFailedError as error:
        pytest.xfail(f"containerd 2 cannot be had from Debian: {str(error)[:300]}")


@pytest.fixture
def snapshotter() -> Iterator[Snapshotter]:
    with Snapshotter(FETCH_WHAT_IS_READ) as snapshotter:
        yield snapshotter


def test_pulls_of_the_transfer_service_and_of_cri_are_lazy(
    programs: Programs,
    snapshotter: Snapshotter,
    registry: RealRegistry,
    pause_name: str,
) -> None:
    """The image is small on purpose: what is tested is whether layers are downloaded."""
    name = f"{registry.host}/pause:lazy"
    run_cli("convert", f"oci:{pause_image(default_cache()).layout}", name)
    layers = set(PublishedImage(name).layer_digests)
    with Containerd2(programs, snapshotter.socket, sandbox_image=pause_name) as containerd:
        assert version_of(programs.version())[0] >= 2
        ctr = containerd.ctr()
        ctr("images", "pull", "--plain-http", "--snapshotter", "stargz", name)
        prepared = snapshotter.wait_for_log('"remote-snapshot-prepared"')
        assert json.loads(prepared)["remote-snapshot-prepared"] == "true"
        assert layers.isdisjoint(ctr.content_digests())
        container = new_container_id("c2")
        ctr("run", "--detach", "--snapshotter", "stargz", name, container)
        assert re.search(rf"{container}\s+\d+\s+RUNNING", ctr("tasks", "ls"))
        with Cri(containerd.socket) as cri:
            cri.pull(name)
            assert layers.isdisjoint(containerd.ctr(namespace="k8s.io").content_digests())
            cri.run_container(cri.run_pod(), name, ["/pause"])
