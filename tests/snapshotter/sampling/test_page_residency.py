"""On a real file system that has a page cache."""

import mmap
import os
from pathlib import Path

import pytest

from snapshotter.sampling import page_residency
from snapshotter.sampling.page_residency import forget_large_files, read_bytes

_CHUNK = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Nine chunks, the last of one byte, forgotten."""
    path = tmp_path / "below" / "file"
    path.parent.mkdir()
    path.write_bytes(os.urandom(8 * _CHUNK + 1))
    (tmp_path / "link").symlink_to(path)
    forget_large_files([tmp_path], min_bytes=8 * _CHUNK)
    return path


def test_what_was_not_read_does_not_count(file: Path) -> None:
    assert read_bytes(file, chunk_bytes=_CHUNK) == 0


def test_a_chunk_counts_that_was_read_in_part(file: Path) -> None:
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(opened.fileno(), 1, 3 * _CHUNK + 5)
        os.pread(opened.fileno(), 1, 8 * _CHUNK)
    assert read_bytes(file, chunk_bytes=_CHUNK) == _CHUNK + 1


def test_what_a_process_had_mapped_counts(file: Path) -> None:
    """And not what the kernel read ahead meanwhile, however much that is here."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[5 * _CHUNK // 2] == mapped[5 * _CHUNK // 2]
    assert read_bytes(file, chunk_bytes=_CHUNK) == _CHUNK


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param("_FLAGS", Path("/missing"), id="no flags"),
        pytest.param("_PAGEMAP", Path("/dev/null"), id="no frames"),
    ],
)
def test_what_is_there_counts_where_the_kernel_does_not_tell(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: Path
) -> None:
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(opened.fileno(), 1, 3 * _CHUNK + 5)
    monkeypatch.setattr(page_residency, name, path)
    assert read_bytes(file, chunk_bytes=_CHUNK) == _CHUNK


def test_smaller_files_stay(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as opened:
        while opened.read(_CHUNK):
            pass
    forget_large_files([tmp_path], min_bytes=8 * _CHUNK + 2)
    assert read_bytes(file, chunk_bytes=_CHUNK) == 8 * _CHUNK + 1


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "empty", chunk_bytes=_CHUNK) == 0
