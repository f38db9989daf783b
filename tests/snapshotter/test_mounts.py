"""How snapshots are mounted: the plan, and what real mounts of it show."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from snapshotter.mounts import Kind, Mount, SnapshotDirectory, plan_mounts
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import ROOTED, Site, committed
from tests.snapshotter.mounting import mounted
from tests.snapshotter.remote_snapshots import RemoteSnapshots
from tests.snapshotter.trees import remove_tree, tree, write

type_of_snapshots = Snapshots | RemoteSnapshots
Change = Callable[[Path], None]
OWN, PARENT, GRANDPARENT = (SnapshotDirectory(Path("/s") / str(n)) for n in (3, 2, 1))


def test_without_parents_a_snapshot_is_its_own_directory() -> None:
    assert plan_mounts(Kind.ACTIVE, OWN, []) == [Mount("bind", "/s/3/fs", ("rw", "rbind"))]
    assert plan_mounts(Kind.VIEW, OWN, []) == [Mount("bind", "/s/3/fs", ("ro", "rbind"))]


def test_a_view_of_one_parent_is_that_parent() -> None:
    assert plan_mounts(Kind.VIEW, OWN, [PARENT]) == [Mount("bind", "/s/2/fs", ("ro", "rbind"))]


def test_parents_are_stacked_the_nearest_first() -> None:
    lower = "lowerdir=/s/2/fs:/s/1/fs"
    (view,) = plan_mounts(Kind.VIEW, OWN, [PARENT, GRANDPARENT])
    assert view == Mount("overlay", "overlay", (lower,))
    (active,) = plan_mounts(Kind.ACTIVE, OWN, [PARENT, GRANDPARENT])
    own = ("workdir=/s/3/work", "upperdir=/s/3/fs")
    assert active == Mount("overlay", "overlay", (*own, lower))
    (over_one,) = plan_mounts(Kind.ACTIVE, OWN, [PARENT])
    assert over_one.options == (*own, "lowerdir=/s/2/fs")


def test_options_go_to_overlays_only() -> None:
    (mount,) = plan_mounts(Kind.VIEW, OWN, [PARENT, GRANDPARENT], ("uidmap=0:1:2",))
    assert mount.options == ("lowerdir=/s/2/fs:/s/1/fs", "uidmap=0:1:2")
    assert plan_mounts(Kind.ACTIVE, OWN, [], ("a=b",)) == plan_mounts(Kind.ACTIVE, OWN, [])


def test_a_mount_to_unpack_into_is_never_read_only() -> None:
    for parents in ([], [PARENT], [PARENT, GRANDPARENT]):
        assert "ro" not in plan_mounts(Kind.ACTIVE, OWN, parents)[-1].options


def layered(snapshots: type_of_snapshots, work: Path, changes: Iterable[Change]) -> str:
    """Applies changes layer by layer; each layer must show the sum of what came before."""
    parent = ""
    flat = work / "flat"
    flat.mkdir(parents=True)
    flat.chmod(0o755)
    for number, change in enumerate(changes):
        mounts = snapshots.prepare(f"active-{number}", parent, ROOTED)
        with mounted(mounts, work / "mnt") as top:
            assert tree(top) == tree(flat)
            change(top)
            change(flat)
            assert tree(top) == tree(flat)
        parent = f"layer-{number}"
        snapshots.commit(parent, f"active-{number}", ROOTED)
    with mounted(snapshots.view("final", parent, ROOTED), work / "mnt") as top:
        assert tree(top) == tree(flat)
    return parent


@pytest.mark.fuse
def test_files_are_updated_layer_by_layer(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        (top / "etc").mkdir()
        write(top / "foo", "foo\n", 0o777)
        write(top / "etc/hosts", "127.0.0.1 localhost", 0o645)

    layered(
        snapshots,
        site.work,
        [
            first,
            lambda top: write(top / "etc/hosts", "mydomain 10.0.0.1", 0o645),
            lambda top: write(top / "etc/hosts", "mydomain 10.0.0.120", 0o666),
        ],
    )


@pytest.mark.fuse
def test_a_directory_of_a_lower_layer_is_removed(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        (top / "lib/inner").mkdir(parents=True)
        write(top / "lib/hidden", "hidden\n")

    def again(top: Path) -> None:
        (top / "lib").mkdir()
        write(top / "lib/not-hidden", "not hidden\n")

    changes = [first, lambda top: remove_tree(top / "lib"), again]
    layered(snapshots, site.work, changes)


@pytest.mark.fuse
def test_owners_change_layer_by_layer(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        for path in ("opt", "opt/a", "opt/a/b"):
            (top / path).mkdir()
        write(top / "opt/a/b/file.txt", "hello")

    def second(top: Path) -> None:
        os.chown(top / "opt", 1, 1)
        os.chown(top / "opt/a/b", 1, 1)
        os.chown(top / "opt/a/b/file.txt", 1, 1)

    layered(snapshots, site.work, [first, second])


@pytest.mark.fuse
def test_modes_and_owners_of_directories_survive_commit(
    snapshots: type_of_snapshots, site: Site
) -> None:
    def first(top: Path) -> None:
        for number, mode in enumerate((0o700, 0o750, 0o755, 0o777, 0o1777, 0o2711)):
            directory = top / f"dir{number}"
            directory.mkdir()
            os.chown(directory, number, number + 1)
            directory.chmod(mode)

    layered(snapshots, site.work, [first, lambda top: write(top / "dir2/f", "x")])


@pytest.mark.fuse
def test_files_deleted_in_a_child_are_gone(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        write(top / "foo", "foo\n")
        write(top / "foobar", "foobar\n")

    layered(snapshots, site.work, [first, lambda top: (top / "foobar").unlink(), lambda _: None])


@pytest.mark.fuse
def test_files_are_moved_out_of_a_lower_layer(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        (top / "dir1").mkdir(mode=0o700)
        (top / "dir2").mkdir(mode=0o700)
        write(top / "dir1/f1", "Hello")
        write(top / "dir2/f2", "...")

    def second(top: Path) -> None:
        (top / "dir3").mkdir(mode=0o700)
        write(top / "dir3/f1", "Hello")
        remove_tree(top / "dir1")
        os.link(top / "dir2/f2", top / "dir3/f2")
        (top / "dir2/f2").unlink()

    layered(snapshots, site.work, [first, second])


@pytest.mark.fuse
def test_renaming_over_layers(snapshots: type_of_snapshots, site: Site) -> None:
    def first(top: Path) -> None:
        (top / "dir1/somefiles").mkdir(parents=True)
        (top / "dir2").mkdir()
        write(top / "dir1/somefiles/f1", "was here first!")
        write(top / "somefile", "text")

    def second(top: Path) -> None:
        (top / "somefile").rename(top / "newplace")
        # overlayfs lets callers move a directory of a lower layer by copying only.
        (top / "dir3").mkdir()
        write(top / "dir3/f1", (top / "dir1/somefiles/f1").read_text())
        remove_tree(top / "dir1")

    layered(snapshots, site.work, [first, second])


@pytest.mark.fuse
def test_views_are_read_only(snapshots: type_of_snapshots, site: Site) -> None:
    committed(snapshots, "one")
    committed(snapshots, "two", "one")
    for parent in ("", "one", "two"):
        mounts = snapshots.view(f"view-{parent}", parent, ROOTED)
        with (
            mounted(mounts, site.work / "view") as top,
            pytest.raises(OSError, match="Read-only"),
        ):
            (top / "file").touch()


@pytest.mark.fuse
def test_the_root_of_a_snapshot_can_be_entered_by_all(
    snapshots: type_of_snapshots, site: Site
) -> None:
    mask = os.umask(0o077)
    try:
        mounts = snapshots.prepare("one", "", ROOTED)
    finally:
        os.umask(mask)
    with mounted(mounts, site.work / "m") as top:
        assert stat.S_IMODE(top.stat().st_mode) == 0o755


@pytest.mark.fuse
@pytest.mark.timeout(120)
def test_128_layers_can_be_mounted(snapshots: type_of_snapshots, site: Site) -> None:
    def bottom(top: Path) -> None:
        write(top / "bottom", "way at the bottom\n", 0o777)
        write(top / "overwritten", "first\n", 0o777)
        (top / "grows").mkdir()
        (top / "replaced").mkdir()
        write(top / "replaced/bottom", "bye\n")

    def above(number: int) -> Change:
        def change(top: Path) -> None:
            write(top / "overwritten", f"{number} was here\n", 0o777)
            write(top / f"grows/file-{number}", "same\n")
            remove_tree(top / "replaced")
            (top / "replaced").mkdir()
            write(top / f"replaced/file-{number}", "only me\n")

        return change

    layered(snapshots, site.work, [bottom, *(above(number) for number in range(1, 128))])
