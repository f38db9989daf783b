"""containerd's conformance suite for snapshotters, case by case under its own names, with real mounts.

``core/snapshots/testsuite`` of containerd says what any snapshotter must do. Each of its 21 cases is told here in our own
words, against the model and against a whole daemon on the socket that containerd would use.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import ROOTED, Site, committed, names
from tests.snapshotter.daemon_home import Home, home_in
from tests.snapshotter.layer_changes import CHANGES, Change
from tests.snapshotter.mounting import mounted
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused
from tests.snapshotter.trees import remove_tree, tree, write

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined, room for the mounts of one case, and how the subject is closed."""

    snapshots: Snapshots | RemoteSnapshots
    work: Path
    close: Callable[[], None]


def basic(subject: Subject) -> None:
    """A life from Prepare to Remove, with what is seen of it from outside."""
    snapshots, work = subject.snapshots, subject.work
    with mounted(snapshots.prepare("one", "", ROOTED), work / "one") as top:
        write(top / "foo", "foo\n", 0o777)
        (top / "a/b/c").mkdir(parents=True)
        first = tree(top)
    snapshots.commit("base", "one", ROOTED)
    base = snapshots.stat("base")
    assert (base.parent, base.kind, base.labels) == ("", Kind.COMMITTED, ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.stat("one")

    with mounted(snapshots.prepare("two", "base", ROOTED), work / "two") as top:
        assert tree(top) == first
        write(top / "bar", "bar\n")
        write(top / "foo", "bar\n", 0o777)
        remove_tree(top / "a/b")
        second = tree(top)
    assert (snapshots.stat("two").parent, snapshots.stat("two").kind) == ("base", Kind.ACTIVE)
    snapshots.commit("next", "two", ROOTED)
    with refused(Code.NOT_FOUND):
        snapshots.stat("two")
    walked = {record.name: record for record in snapshots.walk()}
    assert walked == {name: snapshots.stat(name) for name in ("base", "next")}

    with mounted(snapshots.view("three", "next", ROOTED), work / "three") as top:
        assert tree(top) == second
    snapshots.remove("three")
    with refused(Code.FAILED_PRECONDITION, "remove"):
        snapshots.remove("base")
    snapshots.remove("next")
    snapshots.remove("base")
    assert names(snapshots) == set()


def stat_active(subject: Subject) -> None:
    """A snapshot that is mounted and written to is active, and has no parent if it was given none."""
    with mounted(subject.snapshots.prepare("active", "", ROOTED), subject.work / "m") as top:
        write(top / "foo", "foo\n", 0o777)
        active = subject.snapshots.stat("active")
    assert (active.name, active.kind, active.parent) == ("active", Kind.ACTIVE, "")


def stat_committed(subject: Subject) -> None:
    """A snapshot can be committed while it is mounted."""
    with mounted(subject.snapshots.prepare("active", "", ROOTED), subject.work / "m") as top:
        write(top / "foo", "foo\n", 0o777)
        subject.snapshots.commit("done", "active", ROOTED)
        done = subject.snapshots.stat("done")
    assert (done.name, done.kind, done.parent) == ("done", Kind.COMMITTED, "")


def transitivity(subject: Subject) -> None:
    """A grandparent is not a parent."""
    committed(subject.snapshots, "a")
    committed(subject.snapshots, "b", "a")
    subject.snapshots.prepare("c", "b", ROOTED)
    parents = {name: subject.snapshots.stat(name).parent for name in ("a", "b", "c")}
    assert parents == {"a": "", "b": "a", "c": "b"}


def prepare_view(subject: Subject) -> None:
    """A key is used once, whatever for."""
    snapshots = subject.snapshots
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


def update(subject: Subject) -> None:
    """Labels can be changed, all or some; nothing else can."""
    before = time.time_ns()
    parents = _one_of_each_kind(subject.snapshots)
    between = time.time_ns()
    for key, parent in parents.items():
        made = subject.snapshots.stat(key)
        assert before <= made.created_ns == made.updated_ns <= between
        _update_labels(subject.snapshots, key)
        after = subject.snapshots.stat(key)
        assert (after.name, after.parent, after.kind) == (key, parent, made.kind)
        assert made.created_ns == after.created_ns <= after.updated_ns <= time.time_ns()


def _one_of_each_kind(snapshots: Snapshots | RemoteSnapshots) -> Mapping[str, str]:
    """The keys with their parents: committed ones, active ones and views, over another one and over none."""
    committed(snapshots, "c1")
    committed(snapshots, "c2", "c1")
    snapshots.prepare("a1", "c2", ROOTED)
    snapshots.prepare("a2", "", ROOTED)
    snapshots.view("v1", "c2", ROOTED)
    snapshots.view("v2", "", ROOTED)
    return {"c1": "", "c2": "c1", "a1": "c2", "a2": "", "v1": "c2", "v2": ""}


def _update_labels(snapshots: Snapshots | RemoteSnapshots, key: str) -> None:
    labels = {**ROOTED, "l1": "v1", "l2": "v2", "l3": "v3"}
    assert snapshots.update(key, labels).labels == labels
    some = snapshots.update(key, {"l1": "new", "l4": "v4"}, ["labels.l1", "labels.l2"])
    assert some.labels == {**ROOTED, "l1": "new", "l3": "v3"}
    assert snapshots.update(key, {"l4": "v4"}, ["labels"]).labels == {"l4": "v4"}
    with refused(Code.INVALID_ARGUMENT, "parent"):
        snapshots.update(key, {}, ["parent"])
    assert snapshots.stat(key).labels == {"l4": "v4"}


def remove(subject: Subject) -> None:
    """Names can be used again."""
    snapshots = subject.snapshots
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


def walk(subject: Subject) -> None:
    """Filters choose by name, parent, kind and label; several filters are alternatives."""
    snapshots, rooted = subject.snapshots, {"containerd.io/gc.root": "check-walk"}
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


def remove_intermediate(subject: Subject) -> None:
    """Children are removed before their parents."""
    committed(subject.snapshots, "base")
    committed(subject.snapshots, "middle", "base")
    subject.snapshots.prepare("top", "middle", ROOTED)
    with refused(Code.FAILED_PRECONDITION):
        subject.snapshots.remove("middle")
    for name in ("top", "middle", "base"):
        subject.snapshots.remove(name)


def view_readonly(subject: Subject) -> None:
    """Nothing can be written to the mount of a view, however many layers it has."""
    committed(subject.snapshots, "one")
    committed(subject.snapshots, "two", "one")
    for parent in ("", "one", "two"):
        mounts = subject.snapshots.view(f"view-{parent}", parent, ROOTED)
        with (
            mounted(mounts, subject.work / "view") as top,
            pytest.raises(OSError, match="Read-only"),
        ):
            (top / "file").touch()


def stat_in_walk(subject: Subject) -> None:
    """Other calls may come while a list is read, here of several messages."""
    expected = {f"snapshot-{number}" for number in range(231)}
    for key in expected:
        subject.snapshots.prepare(key, "", {})
    walked = subject.snapshots.walk()
    assert {subject.snapshots.stat(record.name).name for record in walked} == expected


def close_twice(subject: Subject) -> None:
    """What was closed can be closed again."""
    committed(subject.snapshots, "one")
    subject.snapshots.remove("one")
    subject.close()
    subject.close()


def root_permission(subject: Subject) -> None:
    """Everybody can enter the root of a snapshot, whatever the process masks."""
    mask = os.umask(0o077)
    try:
        mounts = subject.snapshots.prepare("one", "", ROOTED)
    finally:
        os.umask(mask)
    with mounted(mounts, subject.work / "m") as top:
        assert stat.S_IMODE(top.stat().st_mode) == 0o755


def layered(*changes: Change) -> Callable[[Subject], None]:
    """Applies changes layer by layer; each layer must show the sum of what came before."""

    def case(subject: Subject) -> None:
        parent, flat = "", subject.work / "flat"
        flat.mkdir(parents=True)
        flat.chmod(0o755)
        for number, change in enumerate(changes):
            mounts = subject.snapshots.prepare(f"active-{number}", parent, ROOTED)
            with mounted(mounts, subject.work / "mnt") as top:
                assert tree(top) == tree(flat)
                change(top)
                change(flat)
                assert tree(top) == tree(flat)
            parent = f"layer-{number}"
            subject.snapshots.commit(parent, f"active-{number}", ROOTED)
        with mounted(subject.snapshots.view("final", parent, ROOTED), subject.work / "mnt") as top:
            assert tree(top) == tree(flat)

    return case


CASES: Mapping[str, Callable[[Subject], None]] = {
    "Basic": basic,
    "StatActive": stat_active,
    "StatCommitted": stat_committed,
    "Transitivity": transitivity,
    "PrepareView": prepare_view,
    "Update": update,
    "Remove": remove,
    "Walk": walk,
    "RemoveIntermediate": remove_intermediate,
    "ViewReadonly": view_readonly,
    "StatInWalk": stat_in_walk,
    "RootPermission": root_permission,
    **{name: layered(*changes) for name, changes in CHANGES.items()},
    "CloseTwice": close_twice,
}


@pytest.mark.parametrize("name", CASES)
def test_the_model_conforms(name: str, site: Site) -> None:
    CASES[name](Subject(site.snapshots, site.work, site.records.close))


@pytest.mark.parametrize("name", CASES)
def test_a_daemon_conforms(name: str, daemon: "Daemon") -> None:
    with daemon.examined() as subject:
        CASES[name](subject)


class Daemon:
    """One daemon for all cases; and another one after that was stopped."""

    def __init__(self) -> None:
        self._life = contextlib.ExitStack()
        self._home: Home | None = None

    @contextlib.contextmanager
    def examined(self) -> Iterator[Subject]:
        """It, with nothing in it; what a case makes is removed."""
        home = self._home = self._home or self._start()
        with home.snapshots() as snapshots:
            yield Subject(snapshots, home.directory / "work", lambda: self._stop(home))
            if self._home is not None:
                _empty(home, snapshots)

    def close(self) -> None:
        """Ends it, and leaves nothing of it."""
        self._life.close()

    def _start(self) -> Home:
        self.close()
        directory = self._life.enter_context(tempfile.TemporaryDirectory(prefix="con-"))
        home = self._life.enter_context(home_in(Path(directory)))
        self._life.enter_context(home.serving())
        return home

    def _stop(self, home: Home) -> None:
        home.stop()
        self._home = None


def _empty(home: Home, snapshots: RemoteSnapshots) -> None:
    made = [record.name for record in snapshots.walk()]
    for name in reversed(made):  # children are younger than their parents
        snapshots.remove(name)
    snapshots.cleanup()
    assert list((home.root / "snapshotter" / "snapshots").iterdir()) == []
    shutil.rmtree(home.directory / "work", ignore_errors=True)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    try:
        yield daemon
    finally:
        daemon.close()
