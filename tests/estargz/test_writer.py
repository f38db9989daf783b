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
import zstandard
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec
from estargz.errors import EstargzError, UnsupportedTarError
from estargz.footer import EXTERNAL_FOOTER_BYTES, FOOTER_BYTES, Footer, parse_footer
from estargz.layer_conversion import convert_layer
from estargz.opening import extract_zstd_toc, found_elsewhere
from estargz.planning import BlobLayout, WriterOptions, plan_layer
from estargz.tar_stream import TarEntry, read_all_entries, read_entries
from estargz.toc import TOC_NAME
from estargz.writer import BlobAssembler, compress_members
from registry.digest import Digest
from tests.estargz.blobs import (
    SMALL_CHUNKS,
    WrittenBlob,
    open_blob,
    open_written,
    read_toc,
    read_written,
    write_blob,
)
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars, writer_options

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
_NAMES = [node.name for node in _TREE]
_ZSTD = WriterOptions(chunk_bytes=CHUNK_BYTES, codec=Codec.ZSTD)
_LOSSLESS = WriterOptions(chunk_bytes=CHUNK_BYTES, layout=BlobLayout.LOSSLESS)


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
        *_NAMES[1:],
        "stargz.index.json",
    ]


# Laws of all ways to write a blob: codecs, layouts, chunks that share members.


def _entries(tar: bytes, options: WriterOptions) -> list[TarEntry]:
    if options.layout is BlobLayout.LOSSLESS:
        return read_all_entries(memoryview(tar))
    return read_entries(memoryview(tar))


def _unpack(written: WrittenBlob, codec: Codec) -> bytes:
    if codec is Codec.GZIP:
        return gzip.decompress(written.data)
    with zstandard.ZstdDecompressor().stream_reader(
        written.data, read_across_frames=True
    ) as reader:
        return reader.read()


@given(tars, writer_options)
def test_the_tree_that_is_read_is_the_tree_of_the_tar(tar: bytes, options: WriterOptions) -> None:
    toc, files = read_written(write_blob(tar, options))
    files.pop(".no.prefetch.landmark", None)
    expected: dict[str, bytes] = {}
    for entry in _entries(tar, options):
        if entry.type == "reg":
            content = tar[entry.content.start : entry.content.end]
            expected[entry.name] = expected.get(entry.name, b"") + content
    assert files == expected
    listed = [entry for entry in toc.entries if entry.type != "chunk"]
    has_landmark = options.layout is not BlobLayout.LOSSLESS
    assert [
        (e.name, e.type, e.size, e.mode, e.uid, e.gid, e.link_name, e.xattrs)
        for e in listed[has_landmark:]
    ] == [
        (e.name, e.type, e.size, e.mode, e.uid, e.gid, e.link_name, e.xattrs)
        for e in _entries(tar, options)
    ]


@given(tars, writer_options)
def test_what_is_said_of_a_blob_is_true(tar: bytes, options: WriterOptions) -> None:
    written = write_blob(tar, options)
    finished, unpacked = written.finished, _unpack(written, options.codec)
    assert Digest.of(written.data) == finished.digest
    assert len(written.data) == finished.blob_bytes
    assert Digest.of(unpacked) == finished.diff_id
    assert len(unpacked) == finished.uncompressed_bytes
    assert finished.annotations["containerd.io/snapshot/stargz/toc.digest"] == str(
        finished.toc_digest
    )
    assert finished.annotations["io.containers.estargz.uncompressed-size"] == str(len(unpacked))
    if options.layout is BlobLayout.LOSSLESS:
        assert unpacked == tar
    else:
        assert unpacked.endswith(bytes(1024))
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
            assert archive.getnames()[0] == ".no.prefetch.landmark"


@given(tars, writer_options)
def test_chunks_that_share_a_member_lie_in_it_in_order(tar: bytes, options: WriterOptions) -> None:
    toc, _ = read_written(write_blob(tar, options))
    places = [(entry.offset, entry.inner_offset) for entry in toc.entries if entry.chunk_digest]
    assert places == sorted(set(places))
    starts = {offset for offset, inner in places if inner == 0}
    assert {offset for offset, _ in places} == starts
    if not options.min_chunk_bytes:
        assert all(inner == 0 for _, inner in places)


@settings(max_examples=30, deadline=None)
@given(tar=tars, options=writer_options)
def test_threads_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, tar: bytes, options: WriterOptions
) -> None:
    directory = tmp_path_factory.mktemp("layer")
    (directory / "tar").write_bytes(tar)
    written = write_blob(tar, options)
    with ThreadPoolExecutor(3) as pool:
        finished = convert_layer(
            directory / "tar",
            directory / "blob",
            options,
            pool=pool,
            window=4,
            report=lambda _delta: None,
        )
    assert (directory / "blob").read_bytes() == written.data
    assert finished == written.finished


@given(writer_options, st.data())
def test_no_flipped_byte_goes_unnoticed_by_who_reads_it(
    options: WriterOptions, data: st.DataObject
) -> None:
    written = write_blob(build_tar(_TREE), options)
    toc, files = read_written(written)
    damaged = bytearray(written.data)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert read_written(WrittenBlob(bytes(damaged), written.finished)) == (toc, files)
    except EstargzError:
        return


def test_the_annotations_of_a_zstd_blob_place_and_pin_its_toc() -> None:
    written = write_blob(build_tar(_TREE), _ZSTD)
    position = written.finished.annotations["io.containers.zstd-chunked.manifest-position"]
    offset, length, raw, kind = map(int, position.split(":"))
    checksum = written.finished.annotations["io.containers.zstd-chunked.manifest-checksum"]
    assert kind == 1
    assert str(Digest.of(written.data[offset : offset + length])) == checksum
    found, _ = open_blob(written.data)
    assert (found.toc_offset, found.raw_bytes) == (offset, raw)
    assert len(extract_zstd_toc(found, checksum=Digest.parse(checksum))) == raw


def test_a_blob_without_its_toc_can_be_read_with_it() -> None:
    written = write_blob(build_tar(_TREE), _LOSSLESS)
    assert written.data.endswith(bytes(8))
    found = open_written(written)
    assert found == found_elsewhere(written.finished.external_toc, blob_bytes=len(written.data))
    assert found.payload_bytes == len(written.data) - EXTERNAL_FOOTER_BYTES


def test_a_converted_tar_is_not_kept_bit_for_bit_again() -> None:
    converted = gzip.decompress(write_blob(build_tar(_TREE)).data)
    with pytest.raises(UnsupportedTarError, match="earlier conversion"):
        write_blob(converted, _LOSSLESS)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")
def test_zstd_and_tar_take_a_blob_for_an_ordinary_layer(tmp_path: Path) -> None:
    blob = tmp_path / "blob.tar.zst"
    blob.write_bytes(write_blob(build_tar(_TREE), _ZSTD).data)
    command: list[str | Path] = ["tar", "--zstd", "-tf", blob]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert listed.stdout.split() == [".no.prefetch.landmark", "usr/", *_NAMES[1:]]
    assert "zero block" not in listed.stderr
