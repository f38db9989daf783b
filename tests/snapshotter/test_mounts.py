"""How snapshots are mounted; what real mounts of it show is in the conformance suite."""

from pathlib import Path

from snapshotter.mounts import Kind, Mount, SnapshotDirectory, plan_mounts

OWN = SnapshotDirectory(Path("/s/3"))
PARENT, GRANDPARENT = Path("/s/2/fs"), Path("/s/1/fs")


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
    (mount,) = plan_mounts(Kind.VIEW, OWN, [PARENT, GRANDPARENT], ("userxattr",))
    assert mount.options == ("lowerdir=/s/2/fs:/s/1/fs", "userxattr")
    assert plan_mounts(Kind.ACTIVE, OWN, [], ("a=b",)) == plan_mounts(Kind.ACTIVE, OWN, [])


def test_a_mount_to_unpack_into_is_never_read_only() -> None:
    for parents in ([], [PARENT], [PARENT, GRANDPARENT]):
        assert "ro" not in plan_mounts(Kind.ACTIVE, OWN, parents)[-1].options
