import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.errors import MountError
from fs.mounting import mount, mount_table, mountpoints_below, mounts_at, unmount_lazily

pytestmark = pytest.mark.fuse


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    mountpoint = tmp_path / "a mount\tpoint"
    mountpoint.mkdir()
    yield mountpoint
    unmount_lazily(mountpoint)


def test_mounts_are_seen_and_taken_away_however_many(mountpoint: Path) -> None:
    for _ in range(2):
        mount("tmpfs", "nothing", mountpoint, {"size": "4096", "mode": "700"})
    assert len(mounts_at(mountpoint)) == 2
    assert mountpoints_below(mountpoint.parent) == [mountpoint, mountpoint]
    seen = [one for one in mount_table() if one.point == mountpoint]
    assert [one.kind for one in seen] == ["tmpfs", "tmpfs"]
    assert "mode=700" in seen[0].options
    status = os.statvfs(mountpoint)
    assert (status.f_blocks, status.f_flag & os.ST_RDONLY) == (1, os.ST_RDONLY)
    unmount_lazily(mountpoint)
    assert mounts_at(mountpoint) == []
    unmount_lazily(mountpoint)


def test_the_kernels_reason_is_told(mountpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(8192))
    with pytest.raises(MountError, match="image: Invalid argument"):
        mount("erofs", str(image), mountpoint, {})
    with pytest.raises(MountError, match=r"tmpfs: tmpfs: .*no-such-option"):
        mount("tmpfs", "tmpfs", mountpoint, {"no-such-option": None})
    with pytest.raises(MountError, match="No such device"):
        mount("no-such-filesystem", "x", mountpoint, {})
    with pytest.raises(MountError, match="absent: No such file"):
        mount("tmpfs", "tmpfs", tmp_path / "absent", {})
    assert mounts_at(mountpoint) == []
