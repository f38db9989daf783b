"""Layers with mapped owners: real mounts, what containers on them see and write, and what is left."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.mounting import unmount_lazily
from snapshotter.errors import IdMappingError
from snapshotter.former_mounts import mounts_below, unmount_below
from snapshotter.id_mapping import GID_MAPPING, UID_MAPPING, IdMapping, Owner
from snapshotter.mapped_layers import MappedLayers
from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import Site, committed
from tests.snapshotter.mounting import mounted

pytestmark = pytest.mark.fuse

_LABELS = {UID_MAPPING: "0:1000:65536", GID_MAPPING: "0:2000:65536"}
_MAPPING = IdMapping(Owner(1000, 2000), "0 1000 65536\n", "0 2000 65536\n")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "place"
    yield place
    unmount_below(place)


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """The first one is reached by a link, as lazy ones are."""
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "upper")
    os.chown(tmp_path / "lower" / "file", 5, 6)
    return [tmp_path / "link", tmp_path / "lower"]


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def test_owners_are_those_of_the_machine(place, layers):
    upper, lower = MappedLayers().show(place, layers, _MAPPING)
    assert (_owner(upper / "file"), _owner(lower / "file")) == ((1000, 2000), (1005, 2006))
    assert _owner(layers[0] / "file") == (0, 0)
    with pytest.raises(OSError, match="Read-only"):
        (upper / "new").touch()


def test_what_is_there_stays_and_what_was_replaced_is_shown_anew(place, layers):
    mapped = MappedLayers()
    points = mapped.show(place, layers, _MAPPING)
    assert mapped.show(place, layers, _MAPPING) == points
    assert len(mounts_below(place)) == 2
    shutil.move(layers[1], layers[1].with_name("old"))
    layers[1].mkdir()
    (layers[1] / "new").touch()
    mapped.show(place, layers, _MAPPING)
    assert _owner(points[1] / "new") == (1000, 2000)
    unmount_lazily(points[0])
    mapped.show(place, layers, _MAPPING)
    assert _owner(points[0] / "file") == (1000, 2000)
    assert len(mounts_below(place)) == 2


def test_what_cannot_be_mapped_is_told_and_leaves_nothing(place, layers):
    with pytest.raises(IdMappingError, match=r"/proc/self/fd: Invalid argument; .*remap-ids"):
        MappedLayers().show(place, [*layers, Path("/proc/self/fd")], _MAPPING)
    assert mounts_below(place) == []


def _file_in_base(site: Site) -> None:
    site.snapshots.prepare("base-key", "", {})
    directory = site.directories.of(site.records.get("base-key").id).fs
    (directory / "file").write_text("base")
    os.chown(directory / "file", 5, 6)
    site.snapshots.commit("base", "base-key", {})


def test_a_container_sees_mapped_owners_and_writes_as_mapped_root(site: Site, tmp_path) -> None:
    _file_in_base(site)
    mounts = site.snapshots.prepare("over", "base", _LABELS)
    with mounted(mounts, tmp_path / "target") as target:
        assert (_owner(target), _owner(target / "file")) == ((1000, 2000), (1005, 2006))
        (target / "file").write_text("changed")
        assert _owner(target / "file") == (1005, 2006)
        assert site.snapshots.mounts("over") == mounts
    directory = site.directories.of(site.records.get("over").id)
    assert len(mounts_below(directory.lower)) == 1
    site.snapshots.remove("over")
    site.snapshots.cleanup()
    assert not directory.path.exists()
    assert mounts_below(directory.path) == []


def test_views_are_mapped_too_and_nothing_below_needs_no_mount(site: Site, tmp_path) -> None:
    _file_in_base(site)
    with mounted(site.snapshots.view("view", "base", _LABELS), tmp_path / "target") as target:
        assert _owner(target / "file") == (1005, 2006)
    (mount,) = site.snapshots.prepare("alone", "", _LABELS)
    directory = site.directories.of(site.records.get("alone").id)
    assert (mount.type, mount.source) == ("bind", str(directory.fs))
    assert _owner(directory.fs) == (1000, 2000)
    assert mounts_below(directory.path) == []
    assert site.snapshots.stat("alone").kind is Kind.ACTIVE
    site.snapshots.remove("view")
    site.snapshots.cleanup()


def test_after_a_restart_they_are_mounted_again(site: Site) -> None:
    committed(site.snapshots, "base")
    mounts = site.snapshots.prepare("over", "base", _LABELS)
    directory = site.directories.of(site.records.get("over").id)
    again = Snapshots(site.records, site.directories, site.snapshots._layers, site.snapshots._verdicts)  # fmt: skip
    again.repair()
    assert mounts_below(directory.lower) == []
    assert again.mounts("over") == mounts
    assert len(mounts_below(directory.lower)) == 1
    again.remove("over")
    again.cleanup()
    assert mounts_below(directory.lower) == []
