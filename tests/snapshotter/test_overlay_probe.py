"""Whether overlayfs works is tried."""

from pathlib import Path

import pytest

from snapshotter.errors import StartupError
from snapshotter.overlay_probe import check_overlay


@pytest.mark.fuse
def test_it_works_and_leaves_nothing(tmp_path: Path) -> None:
    check_overlay(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.fuse
def test_it_does_not_work_where_no_overlay_can_be(tmp_path: Path) -> None:
    awkward = tmp_path / "with,comma"
    awkward.mkdir()
    with pytest.raises(StartupError, match=r"cannot be mounted under .*--root"):
        check_overlay(awkward)
    assert list(awkward.iterdir()) == []


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_overlay(tmp_path / "missing")
