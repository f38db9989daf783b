"""containerd's conformance checks for snapshotters, with real mounts; and what a crash leaves."""

import os
import stat
import time
from pathlib import Path

import grpc
import pytest

from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import ROOTED, Site, committed, names, site_in
from tests.snapshotter.lazy_images import LAYER, lazy_labels, pulled
from tests.snapshotter.mounting import mounted
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused
from tests.snapshotter.trees import remove_tree, write

type_of_snapshots = Snapshots | RemoteSnapshots
Code = grpc.StatusCode


@pytest.mark.fuse
def test_a_life_from_prepare_to_remove(snapshots: type_of_snapshots, site: Site) -> None:
    with mounted(snapshots.prepare("one", "", ROOTED), site.work / "one") as top:
        write(top / "foo", "foo\n", 0o777)
        (top / "a/b/c").mkdir(parents=True)
    snapshots.commit("base", "one", ROOTED)
    base = snapshots.stat("base")
    assert (base.parent, base.kind, base.labels) == ("", Kind.COMMITTED, ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.stat("one")

    with mounted(snapshots.prepare("two", "base", ROOTED), site.work / "two") as top:
        assert (top / "foo").read_text() == "foo\n"
        write(top / "bar", "bar\n")
        write(top / "foo", "bar\n", 0o777)
        remove_tree(top / "a/b")
    assert (snapshots.stat("two").parent, snapshots.stat("two").kind) == ("base", Kind.ACTIVE)
    snapshots.commit("next", "two", ROOTED)
    assert {r.name: r for r in snapshots.walk()}.keys() == {"base", "next"}
    assert next(iter(snapshots.walk(["name==next"]))) == snapshots.stat("next")

    with mounted(snapshots.view("three", "next", ROOTED), site.work / "three") as top:
        assert sorted(p.name for p in top.iterdir()) == ["a", "bar", "foo"]
        assert (top / "foo").read_text() == "bar\n"
        assert list((top / "a").iterdir()) == []
    snapshots.remove("three")
    with refused(Code.FAILED_PRECONDITION, "remove"):
        snapshots.remove("base")
    snapshots.remove("next")
    snapshots.remove("base")
    assert names(snapshots) == set()


@pytest.mark.fuse
def test_a_snapshot_can_be_committed_while_it_is_mounted(
    snapshots: type_of_snapshots, site: Site
) -> None:
    with mounted(snapshots.prepare("active", "", ROOTED), site.work / "m") as top:
        write(top / "foo", "foo\n")
        assert snapshots.stat("active").kind is Kind.ACTIVE
        assert snapshots.stat("active").parent == ""
        snapshots.commit("done", "active", ROOTED)
    assert snapshots.stat("done").kind is Kind.COMMITTED


def test_a_grandparent_is_not_a_parent(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "a")
    committed(snapshots, "b", "a")
    snapshots.prepare("c", "b", ROOTED)
    parents = {name: snapshots.stat(name).parent for name in ("a", "b", "c")}
    assert parents == {"a": "", "b": "a", "c": "b"}


def test_a_key_is_used_once(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "a")
    snapshots.prepare("active", "a", ROOTED)
    snapshots.view("view", "a", ROOTED)
    for key in ("active", "view", "a"):
        with refused(Code.ALREADY_EXISTS):
            snapshots.prepare(key, "a", ROOTED)
        with refused(Code.ALREADY_EXISTS):
            snapshots.view(key, "a", ROOTED)
    with refused(Code.ALREADY_EXISTS):
        snapshots.commit("a", "active", ROOTED)
    assert snapshots.stat("active").kind is Kind.ACTIVE


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


@pytest.mark.parametrize("key", ["c1", "c2", "a1", "a2", "v1", "v2"])
def test_labels_and_nothing_else_can_be_updated(snapshots: type_of_snapshots, key: str) -> None:
    before = time.time_ns()
    committed(snapshots, "c1")
    committed(snapshots, "c2", "c1")
    snapshots.prepare("a1", "c2", ROOTED)
    snapshots.prepare("a2", "", ROOTED)
    snapshots.view("v1", "c2", ROOTED)
    snapshots.view("v2", "", ROOTED)
    made = snapshots.stat(key)
    assert before <= made.created_ns == made.updated_ns <= time.time_ns()

    updated = snapshots.update(key, {"l1": "v1", "l2": "v2", "l3": "v3"})
    assert updated.labels == {"l1": "v1", "l2": "v2", "l3": "v3"}
    assert (updated.name, updated.parent, updated.kind) == (made.name, made.parent, made.kind)
    assert made.created_ns == updated.created_ns <= updated.updated_ns <= time.time_ns()

    updated = snapshots.update(key, {"l1": "new", "l4": "v4"}, ["labels.l1", "labels.l2"])
    assert updated.labels == {"l1": "new", "l3": "v3"}
    assert snapshots.update(key, {"l4": "v4"}, ["labels"]).labels == {"l4": "v4"}
    with refused(Code.INVALID_ARGUMENT, "parent"):
        snapshots.update(key, {}, ["parent"])
    assert snapshots.stat(key).labels == {"l4": "v4"}


def test_updating_needs_a_snapshot_and_fitting_labels(snapshots: type_of_snapshots) -> None:
    with refused(Code.NOT_FOUND):
        snapshots.update("missing", {})
    snapshots.prepare("active", "", {})
    with refused(Code.INVALID_ARGUMENT, "4096"):
        snapshots.update("active", {"name": "x" * 4096})
    with refused(Code.INVALID_ARGUMENT, "4096"):
        snapshots.prepare("other", "", {"name": "x" * 4096})


def test_names_can_be_used_again_after_remove(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "one")
    snapshots.prepare("reuse", "one", ROOTED)
    snapshots.remove("reuse")
    snapshots.view("reuse", "one", ROOTED)
    snapshots.remove("reuse")
    snapshots.prepare("reuse", "", ROOTED)
    snapshots.remove("one")
    snapshots.commit("one", "reuse", ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.remove("reuse")


def test_children_are_removed_before_their_parents(snapshots: type_of_snapshots) -> None:
    committed(snapshots, "base")
    committed(snapshots, "middle", "base")
    snapshots.prepare("top", "middle", ROOTED)
    with refused(Code.FAILED_PRECONDITION):
        snapshots.remove("middle")
    for name in ("top", "middle", "base"):
        snapshots.remove(name)


def test_walking_with_filters(snapshots: type_of_snapshots) -> None:
    rooted = {"containerd.io/gc.root": "check-walk"}
    snapshots.prepare("a-np", "", rooted)
    committed(snapshots, "p", "", rooted)
    snapshots.prepare("a", "p", rooted)
    snapshots.view("v", "p", rooted)
    committed(snapshots, "p-wl", "", {**rooted, "l": "1"})
    snapshots.prepare("a-wl", "p-wl", {**rooted, "l": "2"})
    snapshots.view("v-wl", "p-wl", {**rooted, "l": "3"})
    snapshots.prepare("a-np-wl", "", {**rooted, "l": "2"})
    root = 'labels."containerd.io/gc.root"==check-walk'

    everything = {"a-np", "p", "a", "v", "p-wl", "a-wl", "v-wl", "a-np-wl"}
    assert names(snapshots) == names(snapshots, root) == names(snapshots, "") == everything
    assert names(snapshots, f"kind==active,{root}") == {"a-np", "a", "a-wl", "a-np-wl"}
    assert names(snapshots, f"kind==view,{root}") == {"v", "v-wl"}
    assert names(snapshots, f"kind==committed,{root}") == {"p", "p-wl"}
    assert names(snapshots, "name==p", "name==a-np-wl") == {"p", "a-np-wl"}
    assert names(snapshots, "name==a-wl,labels.l") == {"a-wl"}
    assert names(snapshots, "parent==p") == {"a", "v"}
    assert names(snapshots, f'parent!="",{root}') == {"a", "v", "a-wl", "v-wl"}
    assert names(snapshots, "labels.l") == {"p-wl", "a-wl", "v-wl", "a-np-wl"}
    assert names(snapshots, "labels.l==2") == {"a-wl", "a-np-wl"}
    with refused(Code.INVALID_ARGUMENT, "character"):
        names(snapshots, "name==")


def test_walking_many_snapshots_and_using_each(snapshots: type_of_snapshots) -> None:
    expected = {f"snapshot-{number}" for number in range(231)}
    for key in expected:
        snapshots.prepare(key, "", {})
    assert {snapshots.stat(record.name).name for record in snapshots.walk()} == expected


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
