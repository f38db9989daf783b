"""Containers whose users are others on the machine: lazy layers are shown with their owners, and nothing is copied."""

from collections.abc import Iterator

import pytest

from snapshotter.former_mounts import mounts_below
from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import CommandFailedError, Ctr, new_container_id
from tests.e2e.later_containerd import RELEASES, LaterContainerd, programs_or_skip
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_MAPS = ("--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", "--remap-labels")
# Owners as the container sees them, of what is below it and of what it writes; and what it has copied up.
_LOOK = "stat -c %u:%g / /etc/passwd; echo x >/etc/new; echo x >>/etc/passwd; stat -c %u:%g /etc/new /etc/passwd"


@pytest.fixture
def snapshotter() -> Iterator[Snapshotter]:
    with Snapshotter(FETCH_WHAT_IS_READ) as snapshotter:
        yield snapshotter


def _run(ctr: Ctr, image: str) -> list[str]:
    words = ("--rm", "--snapshotter", "stargz", *_MAPS, image, new_container_id("map"))
    return ctr("run", *words, "sh", "-c", _LOOK).split()


def _check(snapshotter: Snapshotter, containerd: Containerd, name: str) -> None:
    # Whoever is mapped must get as far as the root of the container.
    containerd.directory.chmod(0o711)
    ctr = containerd.ctr()
    ctr.rpull(name)
    assert _run(ctr, name) == ["0:0"] * 4
    layers = set(PublishedImage(name).layer_digests)
    assert layers.isdisjoint(ctr.content_digests())
    assert ctr.run(name, ["stat", "-c", "%u", "/etc/passwd"], snapshotter="stargz") == "0\n"
    snapshotter.check_images()
    ctr("images", "rm", "--sync", name)
    assert mounts_below(snapshotter.root / "snapshotter") == []


def test_of_containerd_1(snapshotter: Snapshotter, lazy_name: str) -> None:
    with Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd:
        _check(snapshotter, containerd, lazy_name)


def test_of_containerd_2(snapshotter: Snapshotter, lazy_name: str, pause_name: str) -> None:
    programs = programs_or_skip(RELEASES[-1])
    with LaterContainerd(
        programs, snapshotter.socket, sandbox_image=pause_name, capabilities=["remap-ids"]
    ) as containerd:
        _check(snapshotter, containerd, lazy_name)


def test_what_fuse_shows_cannot_be_mapped(lazy_name: str) -> None:
    with (
        Snapshotter(f'{FETCH_WHAT_IS_READ}[fs]\nbackend = "fuse"\n') as snapshotter,
        Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd,
    ):
        ctr = containerd.ctr()
        ctr.rpull(lazy_name)
        with pytest.raises(CommandFailedError, match=r"mapped owners.*\(backend erofs\) can be"):
            _run(ctr, lazy_name)
        assert ctr.run(lazy_name, ["echo", "1"], snapshotter="stargz") == "1\n"
