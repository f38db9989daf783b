"""What containerd may rely on beyond its conformance suite, and what a crash leaves."""

import os
import stat
from pathlib import Path

import grpc
import pytest

from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import ROOTED, Site, committed, names, site_in
from tests.snapshotter.lazy_images import LAYER, lazy_labels, pulled
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused

type_of_snapshots = Snapshots | RemoteSnapshots
Code = grpc.StatusCode


def test_only_committed_snapshots_are_parents(snapshots: type_of_snapshots) -> None:
    snapshots.prepare("active", "", ROOTED)
    snapshots.view("view", "", ROOTED)
    for parent in ("active", "view"):
        with refused(Code.INVALID_ARGUMENT, parent):
            snapshots.prepare("child", parent, ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.prepare("child", "missing", ROOTED)
    with refused(Code.INVALID_ARGUMENT):
        snapshots.prepare("", "", ROOTED)
    assert names(snapshots) == {"active", "view"}


def test_only_active_snapshots_are_committed(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "a")
    snapshots.view("view", "a", ROOTED)
    for key in ("a", "view"):
        with refused(Code.FAILED_PRECONDITION):
            snapshots.commit("b", key, ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.commit("b", "missing", ROOTED)


def test_only_what_can_be_mounted_has_mounts(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "a")
    active, view = snapshots.prepare("active", "a", ROOTED), snapshots.view("view", "a", ROOTED)
    assert (snapshots.mounts("active"), snapshots.mounts("view")) == (active, view)
    with refused(Code.FAILED_PRECONDITION):
        snapshots.mounts("a")
    with refused(Code.NOT_FOUND):
        snapshots.mounts("missing")


def test_a_snapshot_made_without_a_parent_can_get_one_at_commit(
    snapshots: type_of_snapshots,
) -> None:
    committed(snapshots, "a")
    committed(snapshots, "b")
    snapshots.prepare("active", "", ROOTED)
    snapshots.commit("c", "active", ROOTED, parent="a")
    assert snapshots.stat("c").parent == "a"
    snapshots.prepare("other", "a", ROOTED)
    with refused(Code.INVALID_ARGUMENT):
        snapshots.commit("d", "other", ROOTED, parent="b")
    snapshots.commit("d", "other", ROOTED, parent="a")


def test_updating_needs_a_snapshot_and_fitting_labels(snapshots: type_of_snapshots) -> None:
    with refused(Code.NOT_FOUND):
        snapshots.update("missing", {})
    snapshots.prepare("active", "", {})
    with refused(Code.INVALID_ARGUMENT, "4096"):
        snapshots.update("active", {"name": "x" * 4096})
    with refused(Code.INVALID_ARGUMENT, "4096"):
        snapshots.prepare("other", "", {"name": "x" * 4096})


def test_a_filter_that_cannot_be_read(snapshots: type_of_snapshots) -> None:
    with refused(Code.INVALID_ARGUMENT, "character"):
        names(snapshots, "name==")


def test_content_belongs_to_whom_the_parent_belongs(site: Site) -> None:
    committed(site.snapshots, "one")
    os.chown(site.directories.of(site.records.get("one").id).fs, 12, 34)
    site.snapshots.prepare("two", "one", {})
    own = site.directories.of(site.records.get("two").id)
    status = own.fs.stat()
    assert (status.st_uid, status.st_gid) == (12, 34)
    assert stat.S_IMODE(own.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.work.stat().st_mode) == 0o711


def test_usage_is_measured_while_active_and_kept_when_committed(
    snapshots: type_of_snapshots, site: Site
) -> None:
    snapshots.prepare("active", "", {})
    content = site.directories.of(site.records.get("active").id).fs
    empty = snapshots.usage("active")
    (content / "file").write_bytes(b"x" * 65536)
    os.link(content / "file", content / "same")
    used = snapshots.usage("active")
    assert (used.size_bytes - empty.size_bytes, used.inodes) == (65536, 2)
    snapshots.commit("done", "active", {})
    (content / "late").write_bytes(b"x" * 65536)
    assert snapshots.usage("done") == used
    with refused(Code.NOT_FOUND):
        snapshots.usage("active")


def test_cleanup_deletes_what_was_removed(snapshots: type_of_snapshots, site: Site) -> None:
    snapshots.prepare("kept", "", {})
    snapshots.prepare("gone", "", {})
    gone = site.directories.of(site.records.get("gone").id).path
    snapshots.remove("gone")
    assert gone.exists()
    snapshots.cleanup()
    snapshots.cleanup()
    assert site.directories.present() == [site.directories.of(site.records.get("kept").id).path]


def test_a_start_repairs_what_a_crash_left(root: Path) -> None:
    with site_in(root) as site:
        site.snapshots.prepare("whole", "", {})
        site.records.create(Kind.ACTIVE, "half", "", {})
        site.records.create(Kind.ACTIVE, "begun", "", lazy_labels())
        (root / "snapshotter/snapshots/new-7").mkdir()
        (root / "snapshotter/snapshots/99/fs").mkdir(parents=True)
    with site_in(root) as site:
        present = {path.name for path in site.directories.present()}
        assert present == {str(number) for number in site.records.ids()}
        assert site.snapshots.mounts("half")[0].type == "bind"
        assert site.directories.of(site.records.get("half").id).work.is_dir()


def test_a_lost_link_is_renewed(root: Path) -> None:
    with site_in(root) as site:
        chain = pulled(site.snapshots, 1)
        site.directories.of(site.records.get(chain).id).fs.unlink()
    with site_in(root) as site:
        site.snapshots.prepare("container", chain, {})
        linked = site.directories.link_target(site.records.get(chain).id)
        assert linked == site.layers.root / LAYER.file_name


def test_lost_content_is_reported_and_never_made_up(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with site_in(root) as site:
        committed(site.snapshots, "one")
        site.directories.of(site.records.get("one").id).work.rmdir()
        site.directories.of(site.records.get("one").id).fs.rmdir()
    with site_in(root) as site:
        assert not site.directories.exists(site.records.get("one").id)
    assert caplog.records[-1].getMessage() == "snapshot has lost its content"
