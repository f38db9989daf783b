import msgspec
import pytest
from hypothesis import given

from estargz.errors import TocError
from estargz.file_chunks import check_toc, list_files
from estargz.toc import Toc, TocEntry
from tests.estargz.blobs import read_toc, write_blob
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_DIGEST = "sha256:" + "0" * 64
_FILE = TocEntry(name="f", type="reg", size=10, offset=5, chunk_size=6, chunk_digest=_DIGEST)
_REST = TocEntry(name="f", type="chunk", offset=7, chunk_offset=6, chunk_digest=_DIGEST)


@given(tar=tars)
def test_whatever_is_written_is_listed(tar: bytes) -> None:
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    listed = list(list_files(toc, payload_bytes=len(written.data)))
    assert [file.entry for file in listed] == [e for e in toc.entries if e.type != "chunk"]
    for file in listed:
        assert sum(chunk.size for chunk in file.chunks) == file.entry.size
        assert all(chunk.size <= CHUNK_BYTES for chunk in file.chunks)


def test_chunks_are_placed() -> None:
    (file,) = list_files(Toc(entries=[_FILE, _REST]), payload_bytes=100)
    assert [(c.file_offset, c.size, c.blob_offset) for c in file.chunks] == [(0, 6, 5), (6, 4, 7)]


def test_an_old_toc_has_the_files_digest_alone() -> None:
    entry = TocEntry(name="f", type="reg", size=10, offset=5, digest=_DIGEST)
    (file,) = list_files(Toc(entries=[entry]), payload_bytes=100)
    assert str(file.chunks[0].digest) == _DIGEST


_BAD = {
    "a hole": [_FILE, msgspec.structs.replace(_REST, chunk_offset=7)],
    "the end is missing": [_FILE],
    "more than the file": [_FILE, msgspec.structs.replace(_REST, chunk_size=5)],
    "outside the blob": [msgspec.structs.replace(_FILE, offset=100), _REST],
    "absurd place in the member": [msgspec.structs.replace(_FILE, inner_offset=-1), _REST],
    "absurd chunk": [msgspec.structs.replace(_FILE, chunk_size=-6), _REST],
    "no digest": [msgspec.structs.replace(_FILE, chunk_digest=""), _REST],
    "another digest": [msgspec.structs.replace(_FILE, chunk_digest="sha512:" + "0" * 128), _REST],
    "no file": [_REST],
    "a chunk of a directory": [TocEntry(name="d", type="dir"), _REST],
    "unknown type": [TocEntry(name="d", type="door")],
    "dangling hard link": [TocEntry(name="l", type="hardlink", link_name="f")],
}


@pytest.mark.parametrize("case", _BAD)
def test_what_cannot_be_is_refused_by_name(case: str) -> None:
    with pytest.raises(TocError) as caught:
        check_toc(Toc(entries=_BAD[case]), payload_bytes=100)
    assert caught.value.entry in {"f", "d", "l"}


def test_hard_links_are_found_however_they_are_spelled() -> None:
    tar = build_tar(
        [Node(name="./a", content=b"a"), Node(name="b", kind="hardlink", link_name="/a")]
    )
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    check_toc(toc, payload_bytes=len(written.data))
