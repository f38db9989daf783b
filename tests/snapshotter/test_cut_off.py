"""Which containers lost their layers, told by the order of mounts."""

from pathlib import Path

import pytest

from fs.mounting import Mount
from snapshotter.cut_off import CutOff, cut_off_snapshots
from snapshotter.labels import REMOTE
from snapshotter.mounts import Kind
from snapshotter.records import Record, Usage
from tests.snapshotter.lazy_images import CHAIN, LAYER, lazy_labels

ROOT = Path("/fs")
SNAPSHOTS = Path("/snapshots")
KEY = "default/2/container"


def record(number: int, name: str, parent: str, kind: Kind, labels: dict[str, str]) -> Record:
    return Record(number, name, parent, kind, labels, 0, 0, Usage())


LAZY = record(1, CHAIN, "", Kind.COMMITTED, {**lazy_labels(), REMOTE: "remote snapshot"})
CONTAINER = record(2, KEY, CHAIN, Kind.ACTIVE, {})
RECORDS = [CONTAINER, LAZY]
OVERLAY = Mount(Path("/run/rootfs"), "overlay", ("rw", f"upperdir={SNAPSHOTS}/2/fs"))
BIND = Mount(Path("/run/volume"), "overlay", OVERLAY.options)
SERVER = Mount(ROOT / "mnt", "fuse.stargz", ())
DATA = Mount(ROOT / "data", "fuse", ())
SERVED = Mount(ROOT / "erofs" / LAYER.file_name, "erofs", ())
LOCAL = Mount(ROOT / "local" / LAYER.file_name, "erofs", ())


@pytest.mark.parametrize(
    ("mounts", "is_lost"),
    [
        pytest.param([SERVER, DATA, SERVED, OVERLAY], False, id="as it was made"),
        pytest.param([DATA, SERVED, OVERLAY, SERVER], False, id="gone on with"),
        pytest.param([OVERLAY, SERVER, DATA, SERVED], True, id="served anew"),
        pytest.param([OVERLAY, SERVER, DATA, SERVED, BIND], True, id="served anew, and bound"),
        pytest.param([OVERLAY, SERVER, DATA, LOCAL], True, id="served anew, and complete now"),
        pytest.param([LOCAL, OVERLAY, SERVER, DATA], False, id="complete before"),
        pytest.param([DATA, SERVED, OVERLAY, LOCAL, SERVER], False, id="complete later"),
        pytest.param([SERVER, OVERLAY], False, id="by FUSE"),
        pytest.param([OVERLAY, SERVER], True, id="by FUSE, anew"),
        pytest.param([OVERLAY, DATA, SERVER, SERVER], True, id="by FUSE, anew and again"),
        pytest.param([OVERLAY], True, id="served by nobody"),
        pytest.param([SERVER, DATA, SERVED], False, id="not running"),
    ],
)
def test_by_the_order_of_mounts(mounts: list[Mount], *, is_lost: bool) -> None:
    found = cut_off_snapshots(mounts, RECORDS, fs_root=ROOT, snapshots=SNAPSHOTS)
    assert found == ([CutOff(KEY, (LAYER,))] if is_lost else [])


def test_layers_that_are_not_lazy_cannot_be_lost() -> None:
    unpacked = record(1, CHAIN, "", Kind.COMMITTED, lazy_labels())
    mounts = [OVERLAY, SERVER]
    found = cut_off_snapshots(mounts, [CONTAINER, unpacked], fs_root=ROOT, snapshots=SNAPSHOTS)
    assert found == []
