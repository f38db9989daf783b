import errno
import os
from pathlib import Path

import pytest

from fs.cache_usage import CacheFullError, CacheSettings, CacheUsage


def test_the_limit_is_a_number_or_a_share_of_the_disk(tmp_path: Path) -> None:
    assert CacheSettings(max_bytes=12345).limit_bytes(tmp_path) == 12345
    disk = os.statvfs(tmp_path)
    size = disk.f_blocks * disk.f_frsize
    assert CacheSettings(disk_share=0.25).limit_bytes(tmp_path) == int(size * 0.25)


def test_room_ends_at_the_limit_and_comes_back() -> None:
    calls: list[int] = []
    usage = CacheUsage(100, lambda: calls.append(usage.used_bytes))
    usage.tell_taken(90)
    usage.check_room(10)
    with pytest.raises(CacheFullError, match="holds 90 of 100 bytes") as caught:
        usage.check_room(11)
    assert caught.value.errno == errno.EDQUOT
    usage.tell_evicted(50)
    usage.check_room(60)
    usage.tell_deleted(40)
    assert usage.used_bytes == 0
    assert calls == [90]


def test_a_broken_disk_is_told_until_a_write_goes_well() -> None:
    calls: list[str] = []
    usage = CacheUsage(100, lambda: calls.append(usage.disk_error))
    usage.tell_unkept(OSError(errno.ENOSPC, "No space left on device"))
    assert "No space left" in usage.statistics().disk_error
    assert usage.statistics().unkept_writes == 1
    assert len(calls) == 1
    usage.tell_written()
    assert usage.statistics().disk_error == ""
    assert repr(usage) == "<CacheUsage 0 of 100>"
