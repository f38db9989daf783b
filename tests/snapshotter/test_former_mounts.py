"""What a former snapshotter left mounted goes away; everything else stays."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from snapshotter.former_mounts import mounts_below, unmount_below
from snapshotter.mounts import Mount
from tests.snapshotter.mounting import mounted

pytestmark = pytest.mark.fuse


def test_mounts_below_a_directory_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    bind = [Mount("bind", str(tmp_path / "content"), ("rbind", "ro"))]
    below, beside = tmp_path / "snapshots/1/a b\u00e9", tmp_path / "snapshots-2"
    with mounted(bind, beside), ExitStack() as stack:
        with mounted(bind, below), mounted(bind, below):
            assert mounts_below(tmp_path / "snapshots") == [below, below]
        stack.enter_context(mounted(bind, below))
        unmount_below(tmp_path / "snapshots")
        assert mounts_below(tmp_path / "snapshots") == []
        with pytest.raises(OSError, match="unmounting"):
            stack.close()
        assert mounts_below(tmp_path) == [beside]
