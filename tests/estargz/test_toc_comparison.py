import msgspec
import pytest
from hypothesis import given

from estargz.file_chunks import list_files
from estargz.tar_stream import read_entries
from estargz.toc import Toc, TocEntry
from estargz.toc_comparison import compare_content, compare_toc
from tests.estargz.blobs import read_toc, write_blob
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_TAR = build_tar(
    [
        Node(name="d", kind="dir", mode=0o755),
        Node(name="d/f", content=b"x" * (CHUNK_BYTES + 1), mtime=1.7, xattrs={"user.a": b"1"}),
        Node(name="s", kind="symlink", link_name="d/f"),
        Node(name="h", kind="hardlink", link_name="d/f"),
        Node(name="n", kind="char", device=(1, 3)),
    ]
)


def _toc(tar: bytes) -> Toc:
    written = write_blob(tar)
    return read_toc(written.data, written.finished.toc_digest)


def _differences(toc: Toc, tar: bytes) -> list[tuple[str, str]]:
    files = list(list_files(toc, payload_bytes=1 << 40))
    view = memoryview(tar)
    entries = read_entries(view)
    found = [*compare_toc(files, entries), *compare_content(files, view, entries)]
    return [(difference.entry, difference.what) for difference in found]


@given(tar=tars)
def test_what_is_written_from_a_tar_is_the_same(tar: bytes) -> None:
    assert _differences(_toc(tar), tar) == []


@pytest.mark.parametrize(
    ("name", "changes", "what"),
    [
        ("d/", {"mode": 0o700}, "mode"),
        ("d/f", {"uid": 7}, "owner"),
        ("d/f", {"gid": 7}, "group"),
        ("d/f", {"modtime": "1970-01-01T00:00:09Z"}, "modification time"),
        ("d/f", {"modtime": "yesterday"}, "modification time"),
        ("d/f", {"xattrs": {}}, "extended attributes"),
        ("d/f", {"digest": "sha256:" + "0" * 64}, "whole file"),
        ("d/f", {"chunk_digest": "sha256:" + "0" * 64}, "chunk at 0"),
        ("s", {"link_name": "etc"}, "link target"),
        ("h", {"link_name": "s"}, "link target"),
        ("n", {"dev_minor": 4}, "device"),
        ("n", {"type": "block"}, "type"),
    ],
)
def test_every_lie_is_told_by_name(name: str, changes: dict[str, object], what: str) -> None:
    toc = _toc(_TAR)
    toc.entries = [
        msgspec.structs.replace(entry, **changes)
        if entry.name == name and entry.type != "chunk"
        else entry
        for entry in toc.entries
    ]
    ((entry, text),) = _differences(toc, _TAR)
    assert (entry, what in text) == (name, True), text


def test_cut_and_rounded_times_are_both_right() -> None:
    toc = _toc(_TAR)
    toc.entries = list(toc.entries)
    for second in (1, 2):
        for entry in toc.entries:
            if entry.name == "d/f" and entry.type == "reg":
                entry.modtime = f"1970-01-01T00:00:0{second}Z"
        assert _differences(toc, _TAR) == []


def test_what_only_one_of_them_has() -> None:
    toc = _toc(_TAR)
    toc.entries = [entry for entry in toc.entries if entry.name != "s"]
    toc.entries.append(TocEntry(name="extra", type="dir"))
    assert sorted(_differences(toc, _TAR)) == [
        ("extra", "it is in the TOC, but not in the tar"),
        ("s", "it is in the tar, but not in the TOC"),
    ]
