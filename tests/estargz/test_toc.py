import json

import pytest
from hypothesis import given, settings, strategies as st

from estargz.errors import TocError
from estargz.toc import Toc, TocEntry, TocLimits, dump_toc, parse_toc
from tests.strategies import toc_entries

# As Go writes it: tabs, escaped HTML, a field nobody reads any more.
_BY_GO = b"""{
\t"version": 1,
\t"entries": [
\t\t{
\t\t\t"name": "usr/lib/a\\u003cb\\u003e",
\t\t\t"type": "reg",
\t\t\t"size": 10485760,
\t\t\t"modtime": "2024-05-01T00:00:00Z",
\t\t\t"mode": 33261,
\t\t\t"uid": 1000,
\t\t\t"userName": "jo",
\t\t\t"NumLink": 2,
\t\t\t"offset": 300,
\t\t\t"xattrs": {"security.capability": "AQAAAgAgAAAAAAAAAAAAAAAAAAA="},
\t\t\t"digest": "sha256:w",
\t\t\t"chunkSize": 4194304,
\t\t\t"chunkDigest": "sha256:a"
\t\t},
\t\t{"name": "usr/lib/a<b>", "type": "chunk", "offset": 4100000, "chunkOffset": 4194304, "innerOffset": 5},
\t\t{"name": "l", "type": "symlink", "linkName": "usr", "devMajor": 1, "devMinor": 2, "groupName": "g", "gid": 3}
\t]
}"""


def test_a_toc_written_by_go() -> None:
    file, chunk, link = parse_toc(_BY_GO).entries
    assert file == TocEntry(
        name="usr/lib/a<b>",
        type="reg",
        size=10485760,
        modtime="2024-05-01T00:00:00Z",
        mode=0o100755,
        uid=1000,
        user_name="jo",
        offset=300,
        xattrs={"security.capability": bytes.fromhex("0100000200200000000000000000000000000000")},
        digest="sha256:w",
        chunk_size=4194304,
        chunk_digest="sha256:a",
    )
    assert (chunk.chunk_offset, chunk.inner_offset, chunk.chunk_size) == (4194304, 5, 0)
    assert (link.link_name, link.dev_major, link.dev_minor, link.group_name) == ("usr", 1, 2, "g")


@given(st.lists(toc_entries, max_size=5))
def test_what_is_dumped_can_be_parsed(entries: list[TocEntry]) -> None:
    toc = Toc(entries=entries)
    assert parse_toc(dump_toc(toc)) == toc


@given(st.lists(toc_entries, max_size=9), st.integers(-10, 10), st.integers(-10, 10))
def test_stored_entries_are_like_a_list_of_them(
    entries: list[TocEntry], start: int, stop: int
) -> None:
    stored = parse_toc(dump_toc(Toc(entries=entries))).entries
    assert list(stored) == entries
    assert stored == entries
    assert entries == stored
    assert stored[start:stop] == entries[start:stop]
    assert stored != [*entries, TocEntry(name="a", type="dir")]
    assert [stored[position] for position in range(len(stored))] == entries


def test_what_is_done_to_an_entry_is_not_done_to_the_toc() -> None:
    toc = parse_toc(dump_toc(Toc(entries=[TocEntry(name="a", type="dir")])))
    toc.entries[0].name = "b"
    assert toc.entries[0].name == "a"
    assert "1" in repr(toc.entries)


@given(st.lists(st.sampled_from(["dir", "reg", "chunk"]), max_size=12))
def test_chunks_belong_to_the_file_before_them(types: list[str]) -> None:
    entries = [TocEntry(name=str(number), type=kind) for number, kind in enumerate(types)]
    files = list(Toc(entries=entries).files())
    assert [entry for pieces in files for entry in pieces] == entries
    assert all(piece.type == "chunk" for pieces in files for piece in pieces[1:])
    assert all(pieces[0].type != "chunk" for pieces in files[1:])


def test_dumping_leaves_out_what_is_zero() -> None:
    raw = dump_toc(Toc(entries=[TocEntry(name="a", type="dir")]))
    assert json.loads(raw) == {"version": 1, "entries": [{"name": "a", "type": "dir"}]}


def test_extended_attributes_may_be_empty() -> None:
    entry = TocEntry(name="a", type="dir", xattrs={"user.a": b""})
    assert parse_toc(dump_toc(Toc(entries=[entry]))).entries == [entry]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"version": 1, "entries": [{}]}',
        b'{"version": 1, "entries": [{"name": 7, "type": "reg"}]}',
        b'{"version": 1, "entries": [{"name": "a", "type": "reg", "size": 1e99}]}',
        b'{"version": 1, "entries": [{"name": "a", "type": "reg", "xattrs": {"a": "%"}}]}',
        b'{"version": 1, "entries": [{"name": "\xff", "type": "reg"}]}',
        b'{"version": 1, "entries": [{"name": "a", "type": "chunk", "chunkType": "hole"}]}',
        b'{"x": ' + b"[" * 100_000,
        b'{"x": ' + b'{"y":' * 100_000,
        b'{"entries": [{"name": "a", "type": "reg", "x": ' + b"[" * 10_000_000,
    ],
    ids=[
        *("empty", "list", "no-name", "name-number", "size", "base64", "utf-8", "chunk-type"),
        *("deep-list", "deep-object", "deep-in-entry"),
    ],
)
def test_what_is_no_toc_is_refused(raw: bytes) -> None:
    with pytest.raises(TocError):
        parse_toc(raw)


def test_limits() -> None:
    raw = dump_toc(Toc(entries=[TocEntry(name="a", type="dir")] * 3))
    with pytest.raises(TocError, match="not read"):
        parse_toc(raw, limits=TocLimits(max_toc_bytes=len(raw) - 1))
    with pytest.raises(TocError, match="3 entries"):
        parse_toc(raw, limits=TocLimits(max_entries=2))
    parse_toc(raw, limits=TocLimits(max_toc_bytes=len(raw), max_entries=3))


def test_more_objects_than_entries_may_have_are_not_even_parsed() -> None:
    raw = dump_toc(Toc(entries=[TocEntry(name="{" * 3, type="dir")] * 3))
    with pytest.raises(TocError, match="braces"):
        parse_toc(raw, limits=TocLimits(max_entries=2))


def test_a_chunk_of_zeros_as_podman_writes_it() -> None:
    raw = b"""{"version":1,"entries":[
        {"type":"reg","name":"a","mode":420,"size":70000,"modtime":"2024-05-01T00:00:00.123456789Z","accesstime":null,
         "digest":"sha256:w","offset":30,"endOffset":90,"chunkSize":1000,"chunkDigest":"sha256:a"},
        {"type":"chunk","name":"a","offset":50,"chunkSize":69000,"chunkOffset":1000,"chunkDigest":"sha256:b",
         "chunkType":"zeros"}],"tarSplitDigest":"sha256:t"}"""
    assert [entry.chunk_type for entry in parse_toc(raw).entries] == ["", "zeros"]


_SEED = dump_toc(
    Toc(entries=[TocEntry(name="a", type="reg", size=3, xattrs={"user.a": b"x"}, chunk_digest="d")])
)


@settings(max_examples=300, derandomize=True)
@given(st.data())
def test_damaged_json_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(_SEED)
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(len(damaged), start + 4)))
        damaged[start:end] = data.draw(
            st.sampled_from([b"", b"[", b"{", b"null", b"-1", b"1e999", b'"', b"\xff", b"\\ud800"])
        )
    try:
        parse_toc(bytes(damaged))
    except TocError:
        return
