import hashlib
from pathlib import Path

import pytest

from estargz.errors import DigestMismatchError
from estargz.verify import VerifiedChunk
from fs.chunk_store import DATA_NAME, PRESENT_NAME, ChunkStore
from tests.fs.test_chunk_table import make_table

CHUNKS = 20
CHUNK_BYTES = 4096


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return open_store(tmp_path)


def open_store(directory: Path, chunks: int = CHUNKS) -> ChunkStore:
    table = make_table([CHUNK_BYTES] * chunks)
    return ChunkStore(directory, table, data_bytes=chunks * CHUNK_BYTES)


def verified(number: int) -> VerifiedChunk:
    content = bytes([number]) * CHUNK_BYTES
    return VerifiedChunk("chunk", hashlib.sha256(content).digest(), memoryview(content))


def fill(store: ChunkStore, *numbers: int) -> None:
    for number in numbers:
        store.write(number, verified(number))
    store.mark_present(numbers)


def save(store: ChunkStore) -> None:
    bits = store.take_unsaved()
    assert bits is not None
    store.save(bits)


def test_an_empty_store_misses_everything(store: ChunkStore) -> None:
    assert store.missing(range(CHUNKS)) == list(range(CHUNKS))
    assert store.statistics().present_bytes == 0
    assert not store.is_complete


def test_written_chunks_are_read_back(store: ChunkStore) -> None:
    fill(store, 3, 17)
    assert store.missing([2, 3, 17]) == [2]
    assert store.read(3 * CHUNK_BYTES, CHUNK_BYTES) == bytes([3]) * CHUNK_BYTES
    assert store.statistics().present_chunks == 2
    assert store.statistics().present_bytes == 2 * CHUNK_BYTES


def test_marking_twice_counts_once(store: ChunkStore) -> None:
    fill(store, 3)
    fill(store, 3)
    assert store.statistics().present_chunks == 1


def test_saved_progress_survives_and_unsaved_does_not(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, 1, 2)
    save(store)
    assert store.take_unsaved() is None
    fill(store, 9)
    again = open_store(tmp_path)
    assert again.missing([1, 2, 9]) == [9]
    assert again.statistics().present_bytes == 2 * CHUNK_BYTES


@pytest.mark.parametrize("damage", ["bits of another table", "no data"])
def test_bits_that_cannot_belong_to_the_data_are_not_believed(tmp_path: Path, damage: str) -> None:
    store = open_store(tmp_path)
    fill(store, *range(CHUNKS))
    save(store)
    assert open_store(tmp_path).is_complete
    if damage == "no data":
        (tmp_path / DATA_NAME).unlink()
    else:
        (tmp_path / PRESENT_NAME).write_bytes(b"\xff" * 9)
    assert open_store(tmp_path).missing(range(CHUNKS)) == list(range(CHUNKS))


def test_the_data_file_is_sparse_and_private(store: ChunkStore, tmp_path: Path) -> None:
    status = (tmp_path / DATA_NAME).stat()
    assert status.st_size == CHUNKS * CHUNK_BYTES
    assert status.st_blocks == 0
    assert status.st_mode & 0o077 == 0


def test_wrong_content_cannot_become_a_chunk() -> None:
    with pytest.raises(DigestMismatchError, match="chunk 7"):
        VerifiedChunk("chunk 7", hashlib.sha256(b"right").digest(), memoryview(b"wrong"))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_dropped_store_closes_its_file(tmp_path: Path) -> None:
    before = open_descriptors()
    store = open_store(tmp_path)
    assert open_descriptors() == before + 1
    store.close()
    store.close()
    del store
    assert open_descriptors() == before
