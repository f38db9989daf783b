import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given

from estargz.errors import UnsupportedTarError
from estargz.tar_stream import TarEntry, clean_name, read_entries
from tests.strategies import Node, build_tar, tars

# A vfs_cap_data of cap_net_bind_service, as setcap writes it: no UTF-8, with NULs and a newline.
_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
_BINARY = b"\xff\xfe\x00=\n12 x=\xc3\x28"


def _read(tar: bytes) -> list[TarEntry]:
    return read_entries(memoryview(tar))


def _only(tar: bytes) -> TarEntry:
    (entry,) = _read(tar)
    return entry


def _pax_record(keyword: bytes, value: bytes) -> bytes:
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    return str(len(rest) + len(str(length))).encode() + rest


def _by_go(records: bytes, name: str) -> bytes:
    """What Go's archive/tar writes for a file with PAX records: type x, name PaxHeaders.0, mode 0."""
    extension = tarfile.TarInfo(f"PaxHeaders.0/{name}")
    extension.type, extension.mode, extension.size = tarfile.XHDTYPE, 0, len(records)
    file = tarfile.TarInfo(name)
    padded = records + bytes(-len(records) % 512)
    headers = [info.tobuf(tarfile.USTAR_FORMAT) for info in (extension, file)]
    return headers[0] + padded + headers[1] + bytes(1024)


def test_what_a_header_says() -> None:
    node = Node(
        name="dev/tty",
        kind="char",
        mode=0o4620,
        uid=3_000_000,
        gid=5,
        user_name="jürgen",
        group_name="tty",
        mtime=1_700_000_000.25,
        device=(5, 1),
        xattrs={"user.a": b"b"},
    )
    entry = _only(build_tar([node]))
    assert (entry.name, entry.type, entry.size, entry.mode) == ("dev/tty", "char", 0, 0o4620)
    assert (entry.uid, entry.gid, entry.user_name, entry.group_name) == (
        3_000_000,
        5,
        "jürgen",
        "tty",
    )
    assert (entry.mtime, entry.dev_major, entry.dev_minor) == (1_700_000_000.25, 5, 1)
    assert entry.xattrs == {"user.a": b"b"}


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_links(tar_format: int) -> None:
    long = "/".join(["x" * 90] * 5)
    nodes = [Node(name=long, content=b"abc"), Node(name="l", kind="symlink", link_name=long)]
    file, link = _read(build_tar(nodes, tar_format=tar_format))
    assert (file.name, link.link_name) == (long, long)


@given(tars)
def test_spans_of_the_kept_entries_do_not_overlap_and_lie_in_order(tar: bytes) -> None:
    position = 0
    for entry in _read(tar):
        for header in entry.headers:
            assert position <= header.start < header.end
            assert (header.end - header.start) % 512 == 0
            position = header.end
        assert entry.headers[-1].end == entry.content.start
        assert entry.content.end - entry.content.start == entry.size
        assert 0 <= entry.padded_end - entry.content.end < 512
        position = entry.padded_end
    assert position <= len(tar)


@given(tars)
def test_without_drops_the_spans_cover_everything_up_to_the_end_marker(tar: bytes) -> None:
    entries = _read(tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        if len(archive.getmembers()) != len(entries):
            return
    covered = [span for entry in entries for span in entry.headers]
    length = sum(span.end - span.start for span in covered)
    length += sum(entry.padded_end - entry.content.start for entry in entries)
    assert length == (entries[-1].padded_end if entries else 0)
    assert not any(tar[length:])


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
def test_extended_attributes_written_by_gnu_tar_are_bit_exact(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    wanted = {"user.binary": _BINARY, "user.text": "ä\n".encode(), "user.empty": b""}
    if os.geteuid() == 0:
        wanted["security.capability"] = _CAPABILITY
    for name, value in wanted.items():
        try:
            os.setxattr(tmp_path / "f", name, value)
        except OSError as error:
            pytest.skip(f"no extended attributes in {tmp_path}: {error}")
    command = ["tar", "--xattrs", "--xattrs-include=*", "-C", str(tmp_path), "-cf", "-", "f"]
    tar = subprocess.run(command, capture_output=True, check=True).stdout
    assert _only(tar).xattrs == wanted


def test_extended_attributes_written_by_go_are_bit_exact() -> None:
    wanted = {"security.capability": _CAPABILITY, "user.binary": _BINARY}
    records = b"".join(
        _pax_record(b"SCHILY.xattr." + name.encode(), value) for name, value in wanted.items()
    )
    entry = _only(_by_go(records, "ping"))
    assert entry.xattrs == wanted
    assert entry.name == "ping"


def test_global_headers_are_kept_but_change_nothing() -> None:
    tar = build_tar(
        [Node(name="a", user_name="jo")], pax_headers={"uname": "global", "comment": "c"}
    )
    entry = _only(tar)
    assert entry.user_name == "jo"
    assert entry.headers[0].start == 0
    assert b"uname=global" in tar[entry.headers[0].start : entry.headers[0].end]


def test_global_headers_of_a_dropped_entry_go_to_the_next_one() -> None:
    tar = build_tar(
        [Node(name=".prefetch.landmark", content=b"\x0f"), Node(name="a")],
        pax_headers={"comment": "of git archive"},
    )
    entry = _only(tar)
    assert b"comment=of git archive" in tar[entry.headers[0].start : entry.headers[0].end]
    assert len(entry.headers) == 2


def test_landmarks_and_tocs_of_earlier_conversions_are_dropped() -> None:
    own = [".prefetch.landmark", "./.no.prefetch.landmark", "/stargz.index.json"]
    nested = "sub/.prefetch.landmark"
    tar = build_tar([Node(name=name, content=b"x") for name in [*own, nested]])
    assert [entry.name for entry in _read(tar)] == [nested]


def test_of_two_entries_with_one_path_the_last_is_kept_at_its_place() -> None:
    names = ["./a", "b", "c/../a", "d/"]
    kinds = ["reg", "reg", "reg", "dir"]
    nodes = [Node(name=name, kind=kind) for name, kind in zip(names, kinds, strict=True)]
    assert [entry.name for entry in _read(build_tar(nodes))] == ["b", "c/../a", "d/"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./a/b", "a/b"),
        ("/a", "a"),
        ("//a", "a"),
        ("a/", "a"),
        ("../../a", "a"),
        ("./", ""),
        ("/", ""),
    ],
)
def test_clean_names(name: str, path: str) -> None:
    assert clean_name(name) == path


@pytest.mark.parametrize("tar", [b"", bytes(512), bytes(10240)], ids=["nothing", "short", "usual"])
def test_an_empty_tar_has_no_entries(tar: bytes) -> None:
    assert _read(tar) == []


def _with_type(kind: bytes) -> bytes:
    info = tarfile.TarInfo("odd")
    info.type = kind
    return info.tobuf() + bytes(1024)


@pytest.mark.parametrize("kind", [b"7", b"V", b"s", b"D"])
def test_entries_that_no_layer_has_are_refused(kind: bytes) -> None:
    with pytest.raises(UnsupportedTarError, match="odd"):
        _read(_with_type(kind))


@pytest.mark.parametrize(
    "node",
    [
        Node(name="caf\udce9"),
        Node(name="l", kind="symlink", link_name="caf\udce9"),
        Node(name="l", pax={"path": "a\0b"}),
    ],
    ids=["name", "link", "nul"],
)
def test_names_that_a_toc_cannot_hold_are_refused(node: Node) -> None:
    with pytest.raises(UnsupportedTarError):
        _read(build_tar([node]))


def test_names_of_extended_attributes_must_be_utf8() -> None:
    with pytest.raises(UnsupportedTarError, match="extended attribute"):
        _read(_by_go(_pax_record(b"SCHILY.xattr.user.\xe9", b"x"), "a"))


@pytest.mark.parametrize(
    "node",
    [
        Node(name="a", uid=1 << 32),
        Node(name="a", gid=-1),
        Node(name="a", kind="char", device=(1 << 40, 0)),
        Node(name="a", pax={"uid": str(1 << 70)}),
    ],
    ids=["uid", "gid", "device", "huge"],
)
def test_numbers_that_no_system_has_are_refused(node: Node) -> None:
    tar_format = tarfile.PAX_FORMAT if node.pax else tarfile.GNU_FORMAT
    with pytest.raises(UnsupportedTarError, match="absurd"):
        _read(build_tar([node], tar_format=tar_format))


def test_a_negative_size_is_refused() -> None:
    tar = build_tar([Node(name="a", pax={"size": "-512"})])
    with pytest.raises(UnsupportedTarError):
        _read(tar)


def test_what_is_no_tar_at_all_is_refused() -> None:
    with pytest.raises(UnsupportedTarError, match="damaged"):
        _read(b"no tar" * 500)


def test_owner_names_may_be_anything() -> None:
    node = Node(name="a", user_name="jo\udce9")
    assert (
        _only(build_tar([node], tar_format=tarfile.GNU_FORMAT)).user_name
        == "jo\N{REPLACEMENT CHARACTER}"
    )


_TWO = build_tar([Node(name="a", content=b"x" * 1000), Node(name="b", content=b"y" * 1000)])


@pytest.mark.parametrize("length", [100, 512, 700, 1500, 1600, 2000, 2048, 2600])
def test_a_tar_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(UnsupportedTarError):
        _read(_TWO[:length])


def test_a_missing_end_marker_is_no_damage() -> None:
    assert len(_read(_TWO[:3072])) == 2


@pytest.mark.parametrize("position", [0, 1536], ids=["first", "second"])
def test_a_damaged_header_does_not_end_the_tar_silently(position: int) -> None:
    damaged = bytearray(_TWO)
    damaged[position + 2] ^= 1
    with pytest.raises(UnsupportedTarError):
        _read(bytes(damaged))


def test_headers_of_absurd_length_are_not_read() -> None:
    extension = tarfile.TarInfo("x")
    extension.type, extension.size = tarfile.XHDTYPE, 1 << 21
    with pytest.raises(UnsupportedTarError, match="extension header"):
        _read(extension.tobuf() + bytes(1 << 21) + _TWO)


def test_headers_without_end_are_refused() -> None:
    extension = tarfile.TarInfo("x")
    extension.type, extension.size = tarfile.XHDTYPE, 0
    with pytest.raises(UnsupportedTarError):
        _read(extension.tobuf() * 5000 + _TWO)


@given(tars)
def test_any_damage_is_either_refused_or_harmless(tar: bytes) -> None:
    # Reading must end, with entries inside the buffer or the one error.
    for position in range(0, min(len(tar), 1536), 97):
        damaged = bytearray(tar)
        damaged[position] ^= 0x15
        try:
            entries = _read(bytes(damaged))
        except UnsupportedTarError:
            continue
        assert all(entry.content.end <= len(tar) for entry in entries)
