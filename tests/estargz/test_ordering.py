import pytest
from hypothesis import given, strategies as st

from estargz.errors import ConversionError
from estargz.ordering import EntryOrder, Missing, PrefetchList, order_entries
from estargz.planning import WriterOptions
from estargz.tar_stream import clean_name, read_entries
from tests.estargz.blobs import read_written, write_blob
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_TREE = [
    Node(name="./", kind="dir"),
    Node(name="./usr/", kind="dir"),
    Node(name="./usr/lib/", kind="dir"),
    Node(name="./usr/lib/a", content=b"a"),
    Node(name="./usr/lib/b", content=b"b"),
    Node(name="./etc/", kind="dir"),
    Node(name="./etc/target", content=b"t"),
    Node(name="./usr/link", kind="hardlink", link_name="etc/target"),
    Node(name="./bin", kind="symlink", link_name="usr/bin"),
    Node(name="./implicit/x", content=b"x"),
]


def _order(*paths: str, nodes: list[Node] = _TREE, missing: Missing = Missing.REFUSE) -> EntryOrder:
    entries = read_entries(memoryview(build_tar(nodes)))
    return order_entries(entries, PrefetchList(paths=paths, missing=missing))


def _first(*paths: str) -> list[str]:
    return [clean_name(entry.name) for entry in _order(*paths).first]


def test_directories_above_come_along_from_the_root_on() -> None:
    assert _first("usr/lib/b") == ["", "usr", "usr/lib", "usr/lib/b"]


def test_the_list_decides_the_order_and_nothing_moves_twice() -> None:
    expected = ["", "usr", "usr/lib", "usr/lib/b", "usr/lib/a"]
    assert _first("/usr/lib/b", "./usr/lib/a", "usr/lib/b") == expected


def test_the_target_of_a_hard_link_comes_along_before_it() -> None:
    assert _first("usr/link") == ["", "usr", "etc", "etc/target", "usr/link"]


def test_directories_that_the_tar_does_not_list_are_no_obstacle() -> None:
    assert _first("implicit/x", "bin") == ["", "implicit/x", "bin"]


def test_hard_links_in_a_circle_end() -> None:
    nodes = [
        Node(name="a", kind="hardlink", link_name="b"),
        Node(name="b", kind="hardlink", link_name="a"),
        Node(name="self", kind="hardlink", link_name="self"),
    ]
    order = _order("a", "self", nodes=nodes)
    assert [entry.name for entry in order.first] == ["b", "a", "self"]


def test_missing_paths_are_refused_or_collected() -> None:
    with pytest.raises(ConversionError, match="has no 'no/1', 'no/2'"):
        _order("no/1", "bin", "no/2")
    with pytest.raises(ConversionError, match="and 4 more"):
        _order(*(f"no/{n}" for n in range(9)))
    order = _order("no/1", "bin", "no/2", missing=Missing.COLLECT)
    assert order.missing == ("no/1", "no/2")
    assert [entry.name for entry in order.first] == ["./", "./bin"]


@given(tars, st.data())
def test_nothing_is_lost_and_the_rest_keeps_its_order(tar: bytes, data: st.DataObject) -> None:
    entries = read_entries(memoryview(tar))
    names = [clean_name(entry.name) for entry in entries]
    wanted = data.draw(st.lists(st.sampled_from(names), max_size=5)) if names else []
    order = order_entries(entries, PrefetchList(paths=tuple(wanted)))
    assert set(wanted) <= {clean_name(entry.name) for entry in order.first}
    first = [entries.index(entry) for entry in order.first]
    rest = [entries.index(entry) for entry in order.rest]
    assert sorted(first + rest) == list(range(len(entries)))
    assert rest == sorted(rest)


@given(tars, st.data())
def test_members_follow_the_list_up_to_the_landmark(tar: bytes, data: st.DataObject) -> None:
    entries = read_entries(memoryview(tar))
    files = [entry.name for entry in entries if entry.type == "reg"]
    wanted = data.draw(st.lists(st.sampled_from(files), unique=True)) if files else []
    prefetch = PrefetchList(paths=tuple(wanted))
    written = write_blob(tar, WriterOptions(chunk_bytes=CHUNK_BYTES, prefetch=prefetch))
    toc, _ = read_written(written)
    names = [entry.name for entry in toc.entries if entry.type == "reg"]
    before = names[: names.index(".prefetch.landmark")]
    assert before == wanted
    offsets = {entry.name: entry.offset for entry in toc.entries if entry.offset}
    landmark = offsets[".prefetch.landmark"]
    assert all(offsets[name] < landmark for name in before if name in offsets)
    assert all(
        offset >= landmark
        for name, offset in offsets.items()
        if name in names and name not in before
    )


def test_an_empty_list_is_a_list() -> None:
    written = write_blob(build_tar(_TREE), WriterOptions(prefetch=PrefetchList(paths=())))
    toc, _ = read_written(written)
    assert toc.entries[0].name == ".prefetch.landmark"
