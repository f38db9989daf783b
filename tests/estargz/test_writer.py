import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given

from estargz.footer import FOOTER_BYTES, Footer, parse_footer
from estargz.planning import plan_layer
from estargz.tar_stream import read_entries
from estargz.toc import TOC_NAME
from estargz.writer import BlobAssembler, compress_members
from registry.digest import Digest
from tests.estargz.blobs import SMALL_CHUNKS, read_files, read_toc, write_blob
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_EMPTY = str(Digest.of(b""))
_TREE = [
    Node(name="usr", kind="dir", mode=0o755, mtime=1_714_521_600),
    Node(name="usr/lib/big", content=bytes(range(256)) * 40, user_name="root"),
    Node(name="usr/x", content=b"abc"),
    Node(name="usr/empty"),
    Node(name="usr/hard", kind="hardlink", link_name="usr/x"),
    Node(name="usr/soft", kind="symlink", link_name="x"),
    Node(name="dev/null", kind="char", device=(1, 3)),
    Node(name="run/fifo", kind="fifo", xattrs={"user.a": b"\xff"}),
]


@given(tars)
def test_what_is_written_is_what_is_read_back(tar: bytes) -> None:
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    originals = read_entries(memoryview(tar))
    files = read_files(written.data, toc)
    assert files.pop(".no.prefetch.landmark") == b"\x0f"
    assert files == {
        entry.name: tar[entry.content.start : entry.content.end]
        for entry in originals
        if entry.type == "reg"
    }
    entries = [entry for entry in toc.entries if entry.type != "chunk"][1:]
    assert [(entry.name, entry.type, entry.size) for entry in entries] == [
        (entry.name, entry.type, entry.size) for entry in originals
    ]
    assert [
        (entry.mode, entry.uid, entry.gid, entry.link_name, entry.xattrs) for entry in entries
    ] == [(entry.mode, entry.uid, entry.gid, entry.link_name, entry.xattrs) for entry in originals]
    for entry in entries:
        if entry.type == "reg":
            assert entry.digest == str(Digest.of(files[entry.name]))


@given(tars)
def test_the_unpacked_blob_is_the_tar_with_landmark_and_toc(tar: bytes) -> None:
    written = write_blob(tar)
    unpacked = gzip.decompress(written.data)
    assert Digest.of(unpacked) == written.finished.diff_id
    assert len(unpacked) == written.finished.uncompressed_bytes
    assert Digest.of(written.data) == written.finished.digest
    assert len(written.data) == written.finished.blob_bytes
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        names = archive.getnames()
    assert (names[0], names[-1]) == (".no.prefetch.landmark", TOC_NAME)
    assert unpacked.endswith(bytes(1024))
    assert names[1:-1] == [entry.name.rstrip("/") for entry in read_entries(memoryview(tar))]


@given(tars)
def test_converting_again_changes_nothing(tar: bytes) -> None:
    once = write_blob(tar).data
    assert write_blob(gzip.decompress(once)).data == once


@given(tars)
def test_members_begin_where_the_toc_says_and_offsets_are_unique(tar: bytes) -> None:
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    offsets = [entry.offset for entry in toc.entries if entry.chunk_digest]
    assert offsets == sorted(set(offsets))
    assert all(written.data[offset : offset + 3] == b"\x1f\x8b\x08" for offset in offsets)
    assert all(entry.offset == 0 for entry in toc.entries if not entry.chunk_digest)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_order_in_which_threads_finish_does_not_matter(threads: int) -> None:
    view = memoryview(build_tar(_TREE))
    plans = plan_layer(view, SMALL_CHUNKS).members
    with ThreadPoolExecutor(threads) as pool:
        batches = list(pool.map(lambda plan: compress_members([plan], SMALL_CHUNKS), plans))
    members = [member for batch in batches for member in batch]
    assembler = BlobAssembler(SMALL_CHUNKS)
    for member in members:
        assembler.append(member)
    data = b"".join(member.data for member in members)
    data += assembler.finish().tail
    assert data == write_blob(bytes(view)).data


def test_the_toc_in_full() -> None:
    written = write_blob(build_tar(_TREE))
    toc = read_toc(written.data, written.finished.toc_digest)
    assert written.finished.toc_entries == len(toc.entries) == 11
    by_name = {entry.name: entry for entry in toc.entries if entry.type != "chunk"}
    assert by_name["usr/"].modtime == "2024-05-01T00:00:00Z"
    assert by_name["usr/empty"].digest == _EMPTY
    assert by_name["usr/x"].chunk_digest == by_name["usr/x"].digest == str(Digest.of(b"abc"))
    big = [entry for entry in toc.entries if entry.name == "usr/lib/big"]
    content = bytes(range(256)) * 40
    assert big[0].digest == str(Digest.of(content))
    assert [entry.chunk_digest for entry in big] == [
        str(Digest.of(content[start : start + CHUNK_BYTES]))
        for start in range(0, len(content), CHUNK_BYTES)
    ]
    assert all(not entry.digest for entry in big[1:])
    assert (by_name["dev/null"].dev_major, by_name["dev/null"].dev_minor) == (1, 3)
    assert by_name["run/fifo"].xattrs == {"user.a": b"\xff"}


def test_the_toc_is_json_without_empty_fields() -> None:
    written = write_blob(build_tar([Node(name="d", kind="dir", mode=0o755)]))
    footer = parse_footer(written.data)
    assert isinstance(footer, Footer)
    offset = footer.toc_offset
    member = gzip.decompress(written.data[offset:-FOOTER_BYTES])
    with tarfile.open(fileobj=io.BytesIO(member)) as archive:
        info = archive.next()
        assert info is not None
        assert (info.name, info.mode, info.uid, info.mtime) == (TOC_NAME, 0, 0, 0)
        raw = member[512 : 512 + info.size]
    landmark, directory = json.loads(raw)["entries"]
    assert directory == {"name": "d/", "type": "dir", "mode": 0o755}
    digest = f"sha256:{hashlib.sha256(bytes([15])).hexdigest()}"
    assert landmark == {
        "name": ".no.prefetch.landmark",
        "type": "reg",
        "size": 1,
        "offset": landmark["offset"],
        "digest": digest,
        "chunkDigest": digest,
    }


def test_an_empty_tar_becomes_a_blob_with_a_landmark() -> None:
    written = write_blob(b"")
    toc = read_toc(written.data, written.finished.toc_digest)
    assert [entry.name for entry in toc.entries] == [".no.prefetch.landmark"]


def test_the_assembler_shows_how_far_it_is() -> None:
    assembler = BlobAssembler(SMALL_CHUNKS)
    assert repr(assembler) == "<BlobAssembler 0 entries, 0 bytes>"


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
def test_gzip_and_tar_take_a_blob_for_an_ordinary_layer(tmp_path: Path) -> None:
    blob = tmp_path / "blob.tar.gz"
    blob.write_bytes(write_blob(build_tar(_TREE)).data)
    subprocess.run(["gzip", "-t", blob], check=True)
    listed = subprocess.run(["tar", "tzf", blob], check=True, capture_output=True, text=True)
    assert listed.stdout.split() == [
        ".no.prefetch.landmark",
        "usr/",
        *[node.name for node in _TREE[1:]],
        "stargz.index.json",
    ]
