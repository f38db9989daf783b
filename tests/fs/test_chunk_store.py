import hashlib
import os
from pathlib import Path

import pytest

from estargz.codec import Codec
from estargz.errors import DigestMismatchError
from estargz.verify import VerifiedChunk
from fs.cache_usage import CacheFullError, CacheUsage
from fs.chunk_store import ChunkStore
from fs.chunk_table import ChunkTable, ChunkTableBuilder
from fs.present_file import DATA_NAME, PRESENT_NAME

CHUNKS = 20
CHUNK_BYTES = 4096


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return open_store(tmp_path)


def open_store(
    directory: Path, chunks: int = CHUNKS, usage: CacheUsage | None = None
) -> ChunkStore:
    contents = [bytes([number]) * CHUNK_BYTES for number in range(chunks)]
    builder = ChunkTableBuilder()
    for number, content in enumerate(contents):
        builder.append(
            data_offset=number * CHUNK_BYTES,
            size=CHUNK_BYTES,
            blob_offset=number * 100,
            inner_offset=0,
            digest=hashlib.sha256(content).digest(),
        )
    table = ChunkTable(builder.pack(payload_bytes=1 << 20, codec=Codec.GZIP))
    return ChunkStore(directory, table, data_bytes=chunks * CHUNK_BYTES, usage=usage)


def verified(number: int) -> VerifiedChunk:
    content = bytes([number]) * CHUNK_BYTES
    return VerifiedChunk("chunk", hashlib.sha256(content).digest(), memoryview(content))


def fill(store: ChunkStore, *numbers: int) -> None:
    for number in numbers:
        store.write(number, verified(number))
    store.mark_present(numbers)


def save(store: ChunkStore) -> None:
    progress = store.take_unsaved()
    assert progress is not None
    store.save(progress)


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


def test_bits_that_were_not_believed_once_never_are(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, *range(CHUNKS))
    save(store)
    (tmp_path / DATA_NAME).unlink()
    open_store(tmp_path)
    assert open_store(tmp_path).is_empty


def evict(store: ChunkStore, size: int) -> None:
    store.punch(store.begin_eviction(size))
    store.end_eviction()


def test_evicted_chunks_are_gone_for_good_and_their_blocks_free(tmp_path: Path) -> None:
    usage = CacheUsage(1 << 30)
    store = open_store(tmp_path, usage=usage)
    fill(store, *range(CHUNKS))
    assert usage.used_bytes == CHUNKS * CHUNK_BYTES
    evict(store, 5 * CHUNK_BYTES)
    last = list(range(CHUNKS - 5, CHUNKS))
    for seen in (store, open_store(tmp_path)):
        assert seen.missing(range(CHUNKS)) == last
    os.sync()
    assert (tmp_path / DATA_NAME).stat().st_blocks == (CHUNKS - 5) * CHUNK_BYTES // 512
    assert usage.used_bytes == (CHUNKS - 5) * CHUNK_BYTES
    assert usage.statistics().evicted_bytes == 5 * CHUNK_BYTES
    fill(store, *last)
    assert store.is_complete
    assert store.read(0, CHUNKS * CHUNK_BYTES)[-1] == CHUNKS - 1


def test_what_leaves_does_not_come_back_meanwhile(store: ChunkStore) -> None:
    fill(store, *range(CHUNKS))
    store.write(
        CHUNKS - 1, verified(CHUNKS - 1)
    )  # as part of a member, of which another chunk was missing
    eviction = store.begin_eviction(1)
    assert eviction.chunks == {CHUNKS - 1}
    with pytest.raises(OSError, match="evicted"):
        store.write(CHUNKS - 1, verified(CHUNKS - 1))
    store.mark_present([CHUNKS - 1])
    assert store.missing([CHUNKS - 1])
    store.punch(eviction)
    store.end_eviction()
    fill(store, CHUNKS - 1)
    assert store.is_complete


def test_a_late_save_does_not_undo_an_eviction(store: ChunkStore, tmp_path: Path) -> None:
    fill(store, *range(CHUNKS))
    late = store.take_unsaved()
    assert late is not None
    evict(store, CHUNK_BYTES)
    store.save(late)
    assert open_store(tmp_path).missing(range(CHUNKS)) == [CHUNKS - 1]


def test_a_disk_too_full_for_bits_can_be_emptied(store: ChunkStore, tmp_path: Path) -> None:
    fill(store, *range(CHUNKS))
    save(store)
    (tmp_path / f"{PRESENT_NAME}.new").mkdir()  # so that no new bits can be written
    evict(store, CHUNK_BYTES)
    assert open_store(tmp_path).is_empty
    (tmp_path / f"{PRESENT_NAME}.new").rmdir()


def test_there_is_no_more_than_fits(tmp_path: Path) -> None:
    usage = CacheUsage(3 * CHUNK_BYTES)
    store = open_store(tmp_path, usage=usage)
    fill(store, 0, 1, 2)
    with pytest.raises(CacheFullError):
        store.write(3, verified(3))
    store.write(2, verified(2))  # what is here takes no more room
    assert usage.statistics().unkept_writes == 1


def test_reads_in_threads_see_what_is_present_or_nothing(store: ChunkStore) -> None:
    fill(store, 0, 1)
    assert store.read_present(range(2), 10, 5000) == (b"\0" * 4086 + b"\1" * 914)
    assert store.read_present(range(1, 3), CHUNK_BYTES, 5000) is None
    begun = store.begin_eviction(1 << 30)
    assert store.read_present(range(2), 0, 1) is None
    store.punch(begun)


def test_chunks_are_copied_and_verified(store: ChunkStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = open_store(tmp_path / "other", chunks=5)
    fill(other, 0, 1)
    store.copy(1, other, 1)
    assert store.mark_present([1]) == CHUNK_BYTES
    assert store.read(CHUNK_BYTES, CHUNK_BYTES) == bytes([1]) * CHUNK_BYTES
    with pytest.raises(DigestMismatchError):
        store.copy(2, other, 2)  # it is not there
    assert store.mark_present([2]) == 0


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
