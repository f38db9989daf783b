from itertools import pairwise

from hypothesis import given, strategies as st

from estargz.codec import Codec
from fs.chunk_table import ChunkTable, ChunkTableBuilder


def make_table(sizes: list[int], *, member_bytes: int = 100) -> ChunkTable:
    builder = ChunkTableBuilder()
    offset = 0
    for number, size in enumerate(sizes):
        builder.append(
            data_offset=offset,
            size=size,
            blob_offset=10 + number * member_bytes,
            inner_offset=0,
            digest=bytes([number % 256]) * 32,
        )
        offset += size
    payload_bytes = 10 + len(sizes) * member_bytes
    return ChunkTable(builder.pack(payload_bytes=payload_bytes, codec=Codec.GZIP))


@given(st.lists(st.integers(1, 50), min_size=1), st.data())
def test_a_range_is_covered_by_just_its_chunks(sizes: list[int], data: st.DataObject) -> None:
    table = make_table(sizes)
    start = data.draw(st.integers(0, sum(sizes) - 1))
    end = data.draw(st.integers(start + 1, sum(sizes)))
    covering = table.covering(start, end)
    bytes_of = [
        set(range(offset, offset + size))
        for offset, size in zip(table.data_offsets, table.sizes, strict=True)
    ]
    wanted = set(range(start, end))
    assert [i for i, held in enumerate(bytes_of) if held & wanted] == list(covering)


@given(st.lists(st.integers(1, 50), min_size=1))
def test_members_partition_the_chunks(sizes: list[int]) -> None:
    table = make_table(sizes)
    members = [table.member(number) for number in range(table.member_count)]
    assert [i for member in members for i in member.chunks] == list(range(len(sizes)))
    assert all(a.end <= b.start for a, b in pairwise(members))
    assert [table.member_number(i) for i in range(len(sizes))] == list(range(len(sizes)))


def test_a_member_is_never_asked_for_beyond_what_it_can_need() -> None:
    table = make_table([10], member_bytes=1 << 30)
    assert table.member_count == 1
    member = table.member(0)
    assert member.end - member.start < 8192


def test_digests_are_kept_apart() -> None:
    table = make_table([1, 1, 1])
    assert [table.digest(i)[0] for i in range(3)] == [0, 1, 2]
    assert repr(table) == "<ChunkTable 3 chunks in 3 members>"


def test_a_table_without_chunks_is_one() -> None:
    table = make_table([])
    assert (len(table), table.member_count, table.content_bytes) == (0, 0, 0)
