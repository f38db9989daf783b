"""What a container sees of an image is the same, whoever wrote its layers, and whoever shows them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fs.settings import Backend
from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Ctr
from tests.e2e.image_views import mounted_image
from tests.e2e.leftovers import mounts_under
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter
from tests.e2e.tree import Entry, compare_entries, read_tree

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(400),
]


@dataclass(frozen=True, slots=True)
class Site:
    """A containerd whose lazy layers are shown by one of the backends."""

    snapshotter: Snapshotter
    ctr: Ctr
    backend: Backend


@pytest.fixture(scope="module", params=[Backend.EROFS, Backend.FUSE])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    backend = Backend(request.param)
    config = f'{FETCH_WHAT_IS_READ}\n[fs]\nbackend = "{backend}"\n'
    with (
        Snapshotter(config) as snapshotter,
        Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd,
    ):
        yield Site(snapshotter, containerd.ctr(), backend)


@pytest.fixture(scope="module")
def unpacked(plain_name: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Entry]:
    """The tree of the ordinary image, as containerd unpacks it."""
    with Containerd() as containerd:
        ctr = containerd.ctr()
        ctr.pull(plain_name)
        target, diff_ids = (
            tmp_path_factory.mktemp("plain") / "view",
            PublishedImage(plain_name).diff_ids,
        )
        with mounted_image(ctr, diff_ids, target, snapshotter="overlayfs") as view:
            return read_tree(view)


@pytest.mark.parametrize("kind", ["lazy_name", "go_lazy_name", "go_zstd_name", "go_optimized_name"])
def test_a_lazy_tree_is_the_unpacked_tree(
    site: Site,
    kind: str,
    unpacked: Mapping[str, Entry],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    image = PublishedImage(request.getfixturevalue(kind))
    site.ctr.rpull(image.name)
    with mounted_image(site.ctr, image.diff_ids, tmp_path / "view", snapshotter="stargz") as view:
        entries = read_tree(view)
    # No layer says anything about the root directory itself: its time is that of the unpacking.
    differences = compare_entries(unpacked, entries)
    assert [line for line in differences if not line.startswith("'.': mtime")] == []
    shown_by_kernel = mounts_under(site.snapshotter.root / "stargz" / "erofs")
    assert bool(shown_by_kernel) == (site.backend is Backend.EROFS)
