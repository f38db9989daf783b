import subprocess
from pathlib import Path

import pytest

from fs.session import detach_stale
from tests.e2e.leftovers import mounts_under

pytestmark = pytest.mark.fuse


@pytest.mark.parametrize("name", ["plain", "with space", "with\ttab"])
def test_stale_mounts_go_however_many(tmp_path: Path, name: str) -> None:
    mountpoint = tmp_path / name
    mountpoint.mkdir()
    detach_stale(mountpoint)
    for _ in range(3):
        subprocess.run(["mount", "-t", "tmpfs", "stale", mountpoint], check=True)
    detach_stale(mountpoint)
    assert mounts_under(tmp_path) == []
