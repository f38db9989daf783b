from pathlib import Path

import pytest

from fs.erofs.mounts import Access, Content, mount_layer, probe
from fs.errors import MountError
from fs.mounting import mountpoints_below, unmount_lazily
from tests.fs.erofs.test_metadata_image import compiled, file_entry
from tests.fs.erofs_images import assert_shows, write_image
from tests.fs.layers_by_hand import entry

pytestmark = pytest.mark.fuse


def test_the_probe_finds_a_way_and_leaves_nothing(tmp_path: Path) -> None:
    assert isinstance(probe(tmp_path), Access)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_says_why_not(tmp_path: Path) -> None:
    reason = probe(tmp_path / "absent")
    assert isinstance(reason, str)
    assert "with files: " in reason
    assert "with loop devices: " in reason


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("content", Content)
def test_layers_are_mounted_either_way(tmp_path: Path, access: Access, content: Content) -> None:
    image = compiled(file_entry("d/f", 9000), entry("l", "symlink", link_name="d/f"))
    metadata, data = write_image(image, tmp_path)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    mount_layer(metadata, data, mountpoint, access=access, content=content)
    try:
        assert_shows(image.inodes, mountpoint)
    finally:
        unmount_lazily(mountpoint)
    assert mountpoints_below(tmp_path) == []


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    for name in ("metadata", "data"):
        (tmp_path / name).write_bytes(bytes(4096))
    with pytest.raises(MountError):
        mount_layer(
            tmp_path / "metadata",
            tmp_path / "data",
            tmp_path,
            access=Access.FILES,
            content=Content.LOCAL,
        )
