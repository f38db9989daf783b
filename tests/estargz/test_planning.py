import pytest
from hypothesis import given

from estargz.errors import UnsupportedTarError
from estargz.planning import MemberPlan, WriterOptions, bare_header, padding, plan_members
from estargz.tar_stream import read_entries
from estargz.toc import TocEntry
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_OPTIONS = WriterOptions(chunk_bytes=CHUNK_BYTES)


def _plan(tar: bytes) -> list[MemberPlan]:
    view = memoryview(tar)
    return list(plan_members(view, read_entries(view), _OPTIONS))


def _toc(*nodes: Node) -> list[TocEntry]:
    """The TOC entries of a tar, without the landmark's."""
    return [entry for plan in _plan(build_tar(nodes)) for entry in plan.toc][1:]


def _bytes(plan: MemberPlan) -> bytes:
    return b"".join(plan.pieces)


@given(tars)
def test_members_hold_the_landmark_and_then_the_kept_entries_byte_for_byte(tar: bytes) -> None:
    kept = b"".join(
        b"".join(tar[span.start : span.end] for span in entry.headers)
        + tar[entry.content.start : entry.padded_end]
        for entry in read_entries(memoryview(tar))
    )
    landmark = bare_header(".no.prefetch.landmark", size=1) + b"\x0f" + bytes(511)
    assert b"".join(_bytes(plan) for plan in _plan(tar)) == landmark + kept


@given(tars)
def test_every_member_but_the_first_begins_with_one_chunk(tar: bytes) -> None:
    first, *others = _plan(tar)
    assert first.chunk_bytes == 0
    assert first.toc == ()
    for plan in others:
        assert 1 <= plan.chunk_bytes <= CHUNK_BYTES
        assert plan.chunk_bytes <= plan.pieces[0].nbytes
        assert plan.toc[0].type in {"reg", "chunk"}
        assert all(entry.size == 0 and entry.type != "chunk" for entry in plan.toc[1:])


def test_members_are_cut_immediately_before_content() -> None:
    nodes = [
        Node(name="d", kind="dir"),
        Node(name="d/a", content=b"a" * (CHUNK_BYTES + 1)),
        Node(name="d/empty"),
        Node(name="d/l", kind="symlink", link_name="a"),
        Node(name="d/b", content=b"b"),
    ]
    plans = _plan(build_tar(nodes))
    names = [[entry.name for entry in plan.toc] for plan in plans]
    assert names == [
        [],
        [".no.prefetch.landmark", "d/"],
        ["d/a"],
        ["d/a", "d/empty", "d/l"],
        ["d/b"],
    ]
    assert [plan.chunk_bytes for plan in plans] == [0, 1, CHUNK_BYTES, 1, 1]
    assert _bytes(plans[2]) == b"a" * CHUNK_BYTES
    assert _bytes(plans[3])[:512] == b"a" + bytes(511)


def test_what_lies_together_in_the_tar_is_one_slice() -> None:
    nodes = [Node(name=str(number), content=b"x" * 600) for number in range(4)]
    assert [len(plan.pieces) for plan in _plan(build_tar(nodes))] == [1, 3, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("size", "chunk_sizes"),
    [
        (1, [0]),
        (CHUNK_BYTES - 1, [0]),
        (CHUNK_BYTES, [CHUNK_BYTES]),
        (CHUNK_BYTES + 1, [CHUNK_BYTES, 0]),
        (2 * CHUNK_BYTES, [CHUNK_BYTES, CHUNK_BYTES]),
        (2 * CHUNK_BYTES + 9, [CHUNK_BYTES, CHUNK_BYTES, 0]),
    ],
)
def test_chunk_sizes_are_written_while_a_whole_chunk_remains(
    size: int, chunk_sizes: list[int]
) -> None:
    entries = _toc(Node(name="f", content=bytes(size)))
    assert [entry.chunk_size for entry in entries] == chunk_sizes
    offsets = [number * CHUNK_BYTES for number in range(len(entries))]
    assert [entry.chunk_offset for entry in entries] == offsets
    assert [entry.type for entry in entries] == ["reg"] + ["chunk"] * (len(entries) - 1)
    assert [entry.size for entry in entries] == [size] + [0] * (len(entries) - 1)


def test_a_chunk_says_nothing_but_where_it_is() -> None:
    node = Node(name="f", content=bytes(CHUNK_BYTES + 1), uid=7, mtime=9, user_name="jo")
    _, chunk = _toc(node)
    assert chunk == TocEntry(name="f", type="chunk", chunk_offset=CHUNK_BYTES)


def test_only_permission_bits_are_kept_of_the_mode() -> None:
    (entry,) = _toc(Node(name="f", mode=0o104755))
    assert entry.mode == 0o4755


def test_owner_names_are_written_when_they_change() -> None:
    names = [("jo", 1), ("jo", 1), ("", 1), ("al", 1), ("jo", 2), ("al", 1), ("jo", 1)]
    nodes = [
        Node(name=str(number), user_name=name, uid=uid, group_name=name, gid=uid)
        for number, (name, uid) in enumerate(names)
    ]
    written = [(entry.user_name, entry.group_name) for entry in _toc(*nodes)]
    assert [user for user, _ in written] == ["jo", "", "", "al", "jo", "", "jo"]
    assert all(user == group for user, group in written)


@pytest.mark.parametrize(
    ("mtime", "text"),
    [
        (0, ""),
        (0.9, ""),
        (1, "1970-01-01T00:00:01Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (1_577_934_245, "2020-01-02T03:04:05Z"),
        (1_577_934_245.5, "2020-01-02T03:04:06Z"),
        (1_577_934_245.25, "2020-01-02T03:04:05Z"),
        (-62_135_596_800, ""),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ],
)
def test_modification_times(mtime: float, text: str) -> None:
    (entry,) = _toc(Node(name="f", mtime=mtime))
    assert entry.modtime == text


@pytest.mark.parametrize("mtime", [253_402_300_800, 10**17, -(10**12)])
def test_a_time_that_cannot_be_written_is_refused(mtime: int) -> None:
    with pytest.raises(UnsupportedTarError, match="modification time"):
        _toc(Node(name="f", mtime=mtime))


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e300"])
def test_a_time_that_is_none_is_refused(mtime: str) -> None:
    with pytest.raises(UnsupportedTarError, match="modification time"):
        _toc(Node(name="f", pax={"mtime": mtime}))


@pytest.mark.parametrize(
    "options",
    [
        {"chunk_bytes": 4095},
        {"chunk_bytes": (256 << 20) + 1},
        {"compression_level": 0},
        {"compression_level": 13},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is not in"):
        WriterOptions(**options)


@pytest.mark.parametrize(("size", "zeros"), [(0, 0), (1, 511), (512, 0), (513, 511)])
def test_padding(size: int, zeros: int) -> None:
    assert padding(size) == bytes(zeros)
