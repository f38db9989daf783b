import pytest

from estargz.errors import UnsupportedTarError
from estargz.planning import WriterOptions, plan_layer
from estargz.toc import TocEntry
from tests.strategies import CHUNK_BYTES, Node, build_tar


def _toc(*nodes: Node) -> list[TocEntry]:
    """The TOC entries of a tar, without the landmark's."""
    plan = plan_layer(memoryview(build_tar(nodes)), WriterOptions(chunk_bytes=CHUNK_BYTES))
    return [entry for member in plan.members for entry in member.toc][1:]


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
