import os
import stat
from typing import Any

import pytest

from estargz.errors import TocError
from estargz.toc import NO_PREFETCH_LANDMARK, Toc, TocEntry
from fs.compiling import OPAQUE_XATTR, compile_layer
from fs.inodes import ROOT
from fs.layer_image import LayerImage
from tests.fs.layers_by_hand import HandmadeBlob, entry

TOC_OFFSET = 1 << 40


def compile_entries(*entries: TocEntry, payload_bytes: int = TOC_OFFSET) -> LayerImage:
    return compile_layer(Toc(entries=list(entries)), payload_bytes=payload_bytes)


def find(image: LayerImage, path: str) -> int:
    index = ROOT
    for part in path.encode().split(b"/"):
        index = image.inodes.lookup(index, part)
    return index


def test_an_empty_toc_is_a_bare_root() -> None:
    image = compile_entries()
    root = image.inodes.attributes(ROOT)
    assert (root.mode, root.uid, root.nlink) == (stat.S_IFDIR | 0o755, 0, 2)
    assert image.data_bytes == 0


def test_the_root_entry_sets_the_roots_attributes() -> None:
    image = compile_entries(entry("./", "dir", mode=0o1777, uid=7))
    root = image.inodes.attributes(ROOT)
    assert (stat.S_IMODE(root.mode), root.uid) == (0o1777, 7)
    assert image.inodes.children(ROOT) == {}


@pytest.mark.parametrize("prefix", ["", "./", "/", "../", "././/"])
def test_names_are_cleaned(prefix: str) -> None:
    image = compile_entries(entry(f"{prefix}a/b", "dir", mode=0o700))
    assert stat.S_IMODE(image.inodes.attributes(find(image, "a/b")).mode) == 0o700


def test_missing_parents_are_made() -> None:
    image = compile_entries(entry("a/b/c"))
    assert image.inodes.attributes(find(image, "a/b")).mode == stat.S_IFDIR | 0o755


def test_a_later_directory_entry_keeps_the_children() -> None:
    image = compile_entries(entry("a/b"), entry("a/", "dir", mode=0o711))
    assert stat.S_IMODE(image.inodes.attributes(find(image, "a")).mode) == 0o711
    assert find(image, "a/b")


def test_the_last_entry_of_a_name_wins() -> None:
    image = compile_entries(entry("x", mode=0o600), entry("x", "symlink", link_name="y"))
    assert image.inodes.target(find(image, "x")) == b"y"


def test_a_file_in_place_of_a_directory_hides_what_was_below() -> None:
    image = compile_entries(entry("a/b/c"), entry("a"))
    assert image.inodes.children(ROOT).keys() == {b"a"}
    with pytest.raises(TocError, match="no directory"):
        compile_entries(entry("a/b/c"), entry("a"), entry("a/b/d"))


def test_hard_links_share_an_inode_and_count() -> None:
    image = compile_entries(
        entry("first", "hardlink", link_name="./second"),
        entry("second", "hardlink", link_name="target"),
        entry("target", mode=0o4755),
    )
    indices = {find(image, name) for name in ("first", "second", "target")}
    assert len(indices) == 1
    assert image.inodes.attributes(indices.pop()).nlink == 3


@pytest.mark.parametrize("target", ["nowhere", "loop", "dir"])
def test_a_hard_link_needs_a_file_to_link_to(target: str) -> None:
    with pytest.raises(TocError, match="entry 'loop'"):
        compile_entries(entry("dir", "dir"), entry("loop", "hardlink", link_name=target))


def test_the_root_is_no_hard_link() -> None:
    with pytest.raises(TocError, match="the root must be a directory"):
        compile_entries(entry("file"), entry("/", "hardlink", link_name="file"))


def test_a_later_entry_takes_the_place_of_a_hard_link_of_just_its_name() -> None:
    image = compile_entries(
        entry("d/x", "hardlink", link_name="d/target"),
        entry("x", "hardlink", link_name="d/target"),
        entry("d/target"),
        entry("./d//x", "symlink", link_name="elsewhere"),
    )
    assert image.inodes.target(find(image, "d/x")) == b"elsewhere"
    assert find(image, "x") == find(image, "d/target")


def test_directories_count_their_subdirectories() -> None:
    image = compile_entries(entry("a/b", "dir"), entry("a/c", "dir"), entry("a/file"))
    assert image.inodes.attributes(find(image, "a")).nlink == 4
    assert image.inodes.attributes(ROOT).nlink == 3


def test_whiteouts_become_character_devices() -> None:
    image = compile_entries(entry("d/.wh.gone"), entry("d/kept"), entry("d/.wh.kept"))
    gone = image.inodes.attributes(find(image, "d/gone"))
    assert (gone.mode, gone.rdev, gone.nlink, gone.size) == (stat.S_IFCHR, 0, 1, 0)
    assert stat.S_ISREG(image.inodes.attributes(find(image, "d/kept")).mode)
    assert image.inodes.children(find(image, "d")).keys() == {b"gone", b"kept"}


def test_an_opaque_mark_becomes_an_attribute() -> None:
    image = compile_entries(entry("d", "dir", xattrs={"user.a": b"1"}), entry("d/.wh..wh..opq"))
    directory = find(image, "d")
    assert image.inodes.xattrs(directory) == {b"user.a": b"1", OPAQUE_XATTR: b"y"}
    assert image.inodes.children(directory) == {}


def test_an_image_cannot_set_attributes_of_the_administrator() -> None:
    xattrs = {"trusted.overlay.redirect": b"/etc", "trusted.note": b"", "security.capability": b"x"}
    image = compile_entries(entry("d", "dir", xattrs=xattrs), entry("f", xattrs=xattrs))
    for path in ("d", "f"):
        assert image.inodes.xattrs(find(image, path)) == {b"security.capability": b"x"}


def test_landmarks_are_hidden_at_the_root_only() -> None:
    image = compile_entries(entry(NO_PREFETCH_LANDMARK), entry(f"a/{NO_PREFETCH_LANDMARK}"))
    assert image.inodes.children(ROOT).keys() == {b"a"}
    assert find(image, f"a/{NO_PREFETCH_LANDMARK}")


@pytest.mark.parametrize(("kind", "bits"), [("char", stat.S_IFCHR), ("block", stat.S_IFBLK)])
def test_devices_keep_their_numbers(kind: str, bits: int) -> None:
    image = compile_entries(entry("dev", kind, dev_major=8, dev_minor=300, mode=0o640))
    attributes = image.inodes.attributes(find(image, "dev"))
    assert attributes.mode == bits | 0o640
    assert attributes.rdev == os.makedev(8, 300)


def test_modes_may_carry_the_file_type() -> None:
    image = compile_entries(entry("d", "dir", mode=16877), entry("f", mode=33261))
    assert image.inodes.attributes(find(image, "d")).mode == stat.S_IFDIR | 0o755
    assert image.inodes.attributes(find(image, "f")).mode == stat.S_IFREG | 0o755


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2020-01-02T03:04:05Z", 1577934245), ("", 0), ("1969-12-31T23:59:59Z", -1)],
)
def test_times_are_whole_seconds(text: str, seconds: int) -> None:
    image = compile_entries(entry("f", modtime=text))
    assert image.inodes.attributes(find(image, "f")).mtime_ns == seconds * 10**9


def test_chunks_cover_their_files_in_the_data_space() -> None:
    blob = HandmadeBlob()
    blob.add_file("small", b"s" * 10)
    blob.add_file("big", bytes(range(256)) * 40, chunk_bytes=4000)
    blob.add_shared_member({"one": b"1" * 7, "two": b"2" * 5000})
    image = compile_entries(*blob.entries, payload_bytes=len(blob.data))
    assert image.data_bytes == 4096 + 3 * 4096 + 4096 + 2 * 4096
    big = image.inodes.extent(find(image, "big"))
    assert list(image.chunks.covering(big.offset, big.offset + big.size)) == [1, 2, 3]
    assert list(image.chunks.covering(big.offset + 3999, big.offset + 4001)) == [1, 2]
    shared = image.chunks.member(image.chunks.member_number(5))
    assert list(shared.chunks) == [4, 5]
    assert shared.end == len(blob.data)


BAD_FILES: dict[str, dict[str, Any]] = {
    "no digest is recorded": {"chunk_digest": ""},
    "not a digest": {"chunk_digest": "sha256:12"},
    "must be sha256": {"chunk_digest": "sha512:" + "0" * 128},
    "content ends at": {"offset": TOC_OFFSET},
    "its chunks hold": {"chunk_size": 5},
    "a chunk of 11 bytes": {"chunk_size": 11},
    "a chunk at 3, expected 0": {"chunk_offset": 3},
    "inner offset": {"inner_offset": -1},
    "owner": {"uid": 1 << 32},
    "modification time": {"modtime": "yesterday"},
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_what_cannot_be_right_is_refused_by_name(message: str) -> None:
    right: dict[str, Any] = {"size": 10, "offset": 5, "chunk_digest": "sha256:" + "0" * 64}
    with pytest.raises(TocError, match=f"(?i)'some/file'.*{message}"):
        compile_entries(entry("some/file", **{**right, **BAD_FILES[message]}))


@pytest.mark.parametrize(
    "bad",
    [
        entry("s", "symlink"),
        entry("long", "symlink", link_name="x" * 5000),
        entry("what", "socket"),
        entry("dev", "char", dev_major=-1),
        entry("f", size=-1),
        entry("huge", size=1 << 80),
        entry("n" * 256),
        entry("a/" * 3000 + "b"),
        entry("/", "symlink", link_name="x"),
    ],
    ids=lambda bad: f"{bad.type}-{bad.name[:5]}",
)
def test_hostile_entries_are_refused(bad: TocEntry) -> None:
    with pytest.raises(TocError):
        compile_entries(bad)


@pytest.mark.parametrize("kind", ["dir", "symlink", "chunk"])
def test_chunks_need_a_file_before_them(kind: str) -> None:
    with pytest.raises(TocError, match="entry 'a'"):
        compile_entries(entry("a", kind, link_name="b"), entry("a", "chunk", size=1))


def test_deep_trees_are_no_problem() -> None:
    image = compile_entries(entry("d/" * 2000 + "f"))
    assert len(image.inodes) == 2002
