import itertools

import pytest
from hypothesis import given, strategies as st

from estargz.codec import Codec
from fs.chunk_table import ChunkTable, ChunkTableBuilder
from fs.request_planning import (
    FetchSettings,
    mark_position,
    plan_following,
    plan_requests,
    tail_bytes,
)

GAP_BYTES, MAX_BYTES = 50, 1000
gaps_between = st.lists(st.integers(30, 8000), min_size=1, max_size=30)


def table_with_gaps(gaps: list[int]) -> ChunkTable:
    """Members of one small chunk each, that many bytes apart in the blob."""
    builder = ChunkTableBuilder()
    blob_offset = 0
    for number, gap in enumerate(gaps):
        blob_offset += gap
        builder.append(
            data_offset=number * 4096,
            size=1,
            blob_offset=blob_offset,
            inner_offset=0,
            digest=bytes(32),
        )
    return ChunkTable(builder.pack(payload_bytes=blob_offset + 30, codec=Codec.GZIP))


@given(gaps_between, st.data())
def test_requests_bring_what_is_asked_within_bounds(gaps: list[int], data: st.DataObject) -> None:
    table = table_with_gaps(gaps)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(gaps) - 1))))
    requests = plan_requests(wanted, table, gap_bytes=GAP_BYTES, max_bytes=MAX_BYTES)
    brought = [number for request in requests for number in request]
    assert brought == sorted(set(brought))
    assert set(wanted) <= set(brought)
    for request in requests:
        assert {request[0], request[-1]} <= set(wanted)
        length = table.member(request[-1]).end - table.member(request[0]).start
        assert len(request) == 1 or length <= MAX_BYTES
        needed = [table.member(number) for number in request if number in wanted]
        for before, after in itertools.pairwise(needed):
            assert after.start - before.end <= GAP_BYTES


@given(st.lists(st.integers(30, 60), min_size=2, max_size=10))
def test_neighbours_share_a_request(gaps: list[int]) -> None:
    table = table_with_gaps(gaps)
    requests = plan_requests(range(len(gaps)), table, gap_bytes=GAP_BYTES, max_bytes=MAX_BYTES)
    assert requests == [range(len(gaps))]


@given(gaps_between, st.data())
def test_what_comes_along_is_missing_and_within_the_window(
    gaps: list[int], data: st.DataObject
) -> None:
    table = table_with_gaps(gaps)
    missing = data.draw(st.sets(st.integers(0, len(gaps) - 1)))
    last, end = data.draw(st.integers(-1, len(gaps) - 1)), data.draw(st.integers(0, 100_000))
    following = plan_following(
        last, table, end=end, gap_bytes=GAP_BYTES, is_missing=missing.__contains__
    )
    assert set(following) <= missing
    assert following == sorted(following)
    reached = table.member(last).end if last >= 0 else 0
    for number in following:
        member = table.member(number)
        assert number > last
        assert member.end <= end
        assert member.start - reached <= GAP_BYTES
        reached = member.end


@given(gaps_between, st.integers(0, 20_000))
def test_half_a_window_is_left_behind_a_mark(gaps: list[int], window: int) -> None:
    table = table_with_gaps(gaps)
    numbers = range(len(gaps))
    mark = mark_position(numbers, table, window=window)
    left = table.member(numbers[-1]).end - table.member(mark).start
    assert left >= window // 2 or mark == 0
    if mark + 1 in numbers:
        assert table.member(numbers[-1]).end - table.member(mark + 1).start < window // 2


@given(st.integers(0, 1 << 40))
def test_gaps_and_distances_follow_the_link_within_bounds(link_bytes: int) -> None:
    settings = FetchSettings()
    gap = settings.gap_bytes(link_bytes)
    assert settings.read_through_bytes <= gap <= settings.max_read_through_bytes
    assert settings.join_bytes <= settings.join_distance(link_bytes) <= settings.max_join_bytes


@pytest.mark.parametrize(
    ("link_bytes", "expected"),
    [(0, 256 << 10), (1, 64 << 10), (1_250_000, 312_500), (1 << 30, 1 << 20)],
    ids=["unknown", "slow", "1 Gbit/s at 10 ms", "beyond measure"],
)
def test_how_much_of_a_blobs_end_is_asked_for(link_bytes: int, expected: int) -> None:
    assert tail_bytes(link_bytes) == expected
