"""A bitmap with sums against a set of numbers."""

from hypothesis import given, strategies as st

from estargz.codec import Codec
from fs.chunk_table import ChunkTable, ChunkTableBuilder
from fs.present_chunks import PresentChunks, block_bytes, disk_ranges
from tests.fs.test_chunk_table import make_table

BLOCK = 4096


def table_of_files(files: list[list[int]]) -> ChunkTable:
    """Files of chunks of these sizes, each file at a whole block, two chunks in a member."""
    builder, start, number = ChunkTableBuilder(), 0, 0
    for sizes in files:
        offset = start
        for size in sizes:
            builder.append(
                data_offset=offset,
                size=size,
                blob_offset=number // 2 * 100,
                inner_offset=number % 2 * 10_000,
                digest=bytes(32),
            )
            offset, number = offset + size, number + 1
        start = -(-offset // BLOCK) * BLOCK
    return ChunkTable(builder.pack(payload_bytes=number * 100, codec=Codec.GZIP))


FILES = st.lists(st.lists(st.integers(1, 9000), min_size=1, max_size=4), min_size=1, max_size=5)


@given(FILES, st.data())
def test_sums_are_those_of_the_set(files: list[list[int]], data: st.DataObject) -> None:
    chunks = table_of_files(files)
    present, model = PresentChunks(chunks), set[int]()
    some = st.sets(st.integers(0, len(chunks) - 1))
    for adding in data.draw(st.lists(st.booleans(), max_size=6)):
        indices = data.draw(some)
        before = present.disk_bytes
        if adding:
            assert present.add([*indices, *indices]) == present.disk_bytes - before
            model |= indices
        else:
            assert present.remove([*indices, *indices]) == before - present.disk_bytes
            model -= indices
        assert present.missing(range(len(chunks))) == sorted(set(range(len(chunks))) - model)
        assert present.count == len(model)
        assert present.content_bytes == sum(chunks.sizes[i] for i in model)
        assert present.disk_bytes == sum(block_bytes(chunks, i) for i in model)
        members = [chunks.member(n) for n in range(chunks.member_count)]
        whole = [m for m in members if model.issuperset(m.chunks)]
        assert present.landed_bytes == sum(m.end - m.start for m in whole)


@given(FILES)
def test_a_files_chunks_take_what_the_file_takes(files: list[list[int]]) -> None:
    chunks = table_of_files(files)
    total = sum(-(-sum(sizes) // BLOCK) * BLOCK for sizes in files)
    assert sum(block_bytes(chunks, i) for i in range(len(chunks))) == total
    assert disk_ranges(chunks, range(len(chunks))) == [(0, total)]


@given(FILES, st.data())
def test_ranges_hold_these_chunks_and_no_other(files: list[list[int]], data: st.DataObject) -> None:
    chunks = table_of_files(files)
    some = data.draw(st.sets(st.integers(0, len(chunks) - 1)))
    ranges = disk_ranges(chunks, some)
    for index in range(len(chunks)):
        start = chunks.data_offsets[index]
        end = start + chunks.sizes[index]
        inside = any(a <= start and end <= b for a, b in ranges)
        apart = all(b <= start or end <= a for a, b in ranges)
        assert inside if index in some else apart


def test_saved_sums_come_back() -> None:
    chunks = make_table([10] * 20)
    present = PresentChunks(chunks)
    present.add([1, 2, 19])
    assert repr(present) == "<PresentChunks 3/20>"
    assert b"esgzhere" in present.dump()
