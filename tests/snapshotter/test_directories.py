"""Where snapshots lie: made whole, never followed out of, counted once."""

import os
import stat
from pathlib import Path

import pytest

from snapshotter.directories import SnapshotDirectories
from snapshotter.mounts import Kind
from snapshotter.records import Usage


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def directories(tmp_path: Path) -> SnapshotDirectories:
    return SnapshotDirectories(tmp_path / "root")


def test_modes(directories: SnapshotDirectories, tmp_path: Path) -> None:
    directories.create(1, Kind.ACTIVE, owner=None)
    own = directories.of(1)
    paths = (tmp_path / "root", tmp_path / "root/snapshots", own.path, own.fs, own.work)
    assert [mode(path) for path in paths] == [0o700, 0o700, 0o700, 0o755, 0o711]
    directories.create(2, Kind.VIEW, owner=None)
    assert not directories.of(2).work.exists()


def test_a_directory_appears_whole_or_not_at_all(directories: SnapshotDirectories) -> None:
    (directories.root / "1").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        directories.create(1, Kind.ACTIVE, owner=None)
    (directories.root / "1").unlink()
    assert directories.present() == []


def test_links(directories: SnapshotDirectories, tmp_path: Path) -> None:
    assert directories.link_target(1) is None
    directories.create_link(1, tmp_path / "first")
    assert directories.link_target(1) == tmp_path / "first"
    assert directories.exists(1)
    directories.relink(1, tmp_path / "first")
    directories.relink(1, tmp_path / "second")
    assert directories.link_target(1) == tmp_path / "second"
    directories.relink(2, tmp_path / "third")
    assert directories.link_target(2) == tmp_path / "third"


def test_content_is_not_replaced_by_a_link(directories: SnapshotDirectories) -> None:
    directories.create(1, Kind.ACTIVE, owner=None)
    with pytest.raises(IsADirectoryError):
        directories.relink(1, Path("/anywhere"))


def test_deleting_follows_no_link(directories: SnapshotDirectories, tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/file").touch()
    directories.create_link(1, tmp_path / "layer")
    assert directories.delete_unknown(directories.present(), set()) == []
    assert directories.present() == []
    assert (tmp_path / "layer/file").exists()


def test_only_the_unknown_is_deleted(directories: SnapshotDirectories, tmp_path: Path) -> None:
    for number in (1, 2):
        directories.create(number, Kind.ACTIVE, owner=None)
    for name in ("new-1", "new-3", "stray"):
        (tmp_path / "root/snapshots" / name).mkdir()
    directories.delete_unknown(directories.present(), {1})
    assert {path.name for path in directories.present()} == {"1", "new-1"}
    directories.delete_unfinished()
    assert {path.name for path in directories.present()} == {"1"}


def test_what_another_cleanup_deleted_is_no_failure(directories: SnapshotDirectories) -> None:
    directories.create(1, Kind.ACTIVE, owner=None)
    present = directories.present()
    assert directories.delete_unknown([*present, *present], set()) == []


def test_usage(directories: SnapshotDirectories, tmp_path: Path) -> None:
    directories.create(1, Kind.ACTIVE, owner=None)
    content = directories.of(1).fs
    empty = directories.usage(1)
    (content / "sparse").write_bytes(b"")
    os.truncate(content / "sparse", 1 << 30)
    (content / "link").symlink_to(tmp_path)
    (content / "directory").mkdir()
    (content / "directory/file").write_bytes(b"x" * 8192)
    os.link(content / "directory/file", content / "same")
    used = directories.usage(1)
    assert used.inodes == 5
    assert 8192 <= used.size_bytes - empty.size_bytes < 65536


def test_usage_of_what_is_elsewhere_or_nowhere(directories: SnapshotDirectories) -> None:
    directories.create_link(1, Path("/"))
    assert directories.usage(1) == directories.usage(2) == Usage()
