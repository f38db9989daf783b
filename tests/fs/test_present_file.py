import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.present_chunks import PresentChunks
from fs.present_file import DATA_NAME, PRESENT_NAME, PresentFile
from tests.fs.test_chunk_table import make_table

CHUNKS = make_table([10] * 20)
OTHERS = make_table([10] * 19 + [11])


def load(directory: Path) -> PresentChunks:
    return PresentFile(directory).load(CHUNKS, data_bytes=200)


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[tuple[PresentFile, PresentChunks, int]]:
    """A file that tells of three chunks, and what saving needs."""
    file = PresentFile(tmp_path)
    present = file.load(CHUNKS, data_bytes=200)
    data = os.open(tmp_path / DATA_NAME, os.O_RDWR)
    os.ftruncate(data, 200)
    present.add([1, 2, 3])
    file.save(file.next_progress(present), data)
    yield file, present, data
    os.close(data)


def test_what_was_saved_comes_back(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path
) -> None:
    again = load(tmp_path)
    assert (again.count, again.content_bytes, again.disk_bytes) == (3, 30, saved[1].disk_bytes)
    assert again.missing(range(5)) == [0, 4]


@pytest.mark.parametrize("damage", ["bits", "no data", "short data", "other chunks"])
def test_what_cannot_be_believed_is_gone_for_good(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path, damage: str
) -> None:
    del saved
    match damage:
        case "bits":
            (tmp_path / PRESENT_NAME).write_bytes(b"garbage")
        case "no data":
            (tmp_path / DATA_NAME).unlink()
        case "short data":
            os.truncate(tmp_path / DATA_NAME, 199)
        case _:
            assert PresentFile(tmp_path).load(OTHERS, data_bytes=200).count == 0
    assert load(tmp_path).count == 0
    assert not (tmp_path / PRESENT_NAME).exists()
    assert (tmp_path / DATA_NAME).exists()


def test_a_file_that_is_shown_elsewhere_is_not_emptied(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path
) -> None:
    _, _, data = saved
    (tmp_path / PRESENT_NAME).unlink()
    load(tmp_path)
    assert os.fstat(data).st_size == 200


def test_an_older_save_that_comes_last_does_nothing(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path
) -> None:
    file, present, data = saved
    older = file.next_progress(present)
    present.remove([2])
    file.save_without(file.next_progress(present), data)
    file.save(older, data)
    assert load(tmp_path).missing(range(4)) == [0, 2]


def test_what_must_not_count_does_not_even_if_nothing_can_be_written(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path
) -> None:
    file, present, data = saved
    (tmp_path / f"{PRESENT_NAME}.new").mkdir()
    older = file.next_progress(present)
    present.remove([2])
    file.save_without(file.next_progress(present), data)
    (tmp_path / f"{PRESENT_NAME}.new").rmdir()
    file.save(older, data)
    assert load(tmp_path).count == 0


def test_who_is_retired_does_not_write_into_a_successors_directory(
    saved: tuple[PresentFile, PresentChunks, int], tmp_path: Path
) -> None:
    file, present, data = saved
    late = file.next_progress(present)
    file.retire()
    for path in tmp_path.iterdir():
        path.unlink()
    assert load(tmp_path).count == 0
    file.save(late, data)
    file.save_without(file.next_progress(present), data)
    assert load(tmp_path).count == 0
