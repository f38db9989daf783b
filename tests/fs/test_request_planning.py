import itertools

from hypothesis import given, strategies as st

from estargz.codec import Codec
from fs.chunk_table import ChunkTable, ChunkTableBuilder
from fs.request_planning import FetchSettings, plan_requests

SETTINGS = FetchSettings(max_request_bytes=1000, read_through_bytes=50)


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


@given(
    st.lists(st.integers(30, 8000), min_size=1, max_size=30),
    st.data(),
)
def test_requests_bring_what_is_asked_within_bounds(gaps: list[int], data: st.DataObject) -> None:
    table = table_with_gaps(gaps)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(gaps) - 1))))
    requests = plan_requests(wanted, table, SETTINGS)
    assert [number for request in requests for number in request] == wanted
    for request in requests:
        members = [table.member(number) for number in request]
        length = members[-1].end - members[0].start
        assert len(request) == 1 or length <= SETTINGS.max_request_bytes
        for before, after in itertools.pairwise(members):
            assert after.start - before.end <= SETTINGS.read_through_bytes


@given(st.lists(st.integers(30, 60), min_size=2, max_size=10))
def test_neighbours_share_a_request(gaps: list[int]) -> None:
    table = table_with_gaps(gaps)
    assert len(plan_requests(range(len(gaps)), table, SETTINGS)) == 1
