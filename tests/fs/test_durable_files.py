import errno
import os
from pathlib import Path

import pytest

from fs.durable_files import (
    punch_hole,
    replace_durably,
    replace_file,
    sync_directory,
    sync_file,
    write_at,
    write_file,
)


def test_files_are_written_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"long content")
    write_file(path, b"short")
    assert path.read_bytes() == b"short"
    assert path.stat().st_mode & 0o077 == 0
    for replace in (replace_file, replace_durably):
        replace(path, replace.__name__.encode())
        assert path.read_bytes() == replace.__name__.encode()
    sync_file(path)
    sync_directory(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_hole_gives_its_blocks_back_and_leaves_the_rest(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        write_at(file.fileno(), b"x" * (5 * 4096), 0)
        os.fsync(file.fileno())
        before = os.fstat(file.fileno()).st_blocks
        punch_hole(file.fileno(), 4096 - 10, 2 * 4096 + 10)
        assert os.fstat(file.fileno()).st_blocks == before - 2 * 8
        content = file.read()
    assert content == b"x" * (4096 - 10) + bytes(2 * 4096 + 10) + b"x" * (2 * 4096)


def test_refusals_have_their_number() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what is tested
        punch_hole(-1, 0, 1)
    assert caught.value.errno == errno.EBADF
