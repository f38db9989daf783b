import os
from pathlib import Path

import pytest

from fs.erofs.loop_devices import loop_device
from fs.errors import MountError

pytestmark = pytest.mark.fuse


def test_a_device_shows_the_file_and_goes_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content!" * 512)
    with loop_device(file) as device:
        assert device.read_bytes() == b"content!" * 512
        backing = Path(f"/sys/class/block/{device.name}/loop/backing_file")
        assert backing.read_text().strip() == os.fspath(file)
    assert not backing.exists()


def test_what_is_not_there_has_no_device(tmp_path: Path) -> None:
    with (
        pytest.raises(MountError, match="absent: no loop device: No such file"),
        loop_device(tmp_path / "absent"),
    ):
        pass
