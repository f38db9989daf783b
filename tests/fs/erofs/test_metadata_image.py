"""Images against the kernel and against erofs-utils: whatever the tree, it is shown as it is."""

import io
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings, strategies as st

from estargz.errors import TocError
from estargz.toc import Toc, TocEntry
from fs.compiling import compile_layer
from fs.erofs.metadata_image import write_erofs
from fs.errors import UnrepresentableError
from fs.layer_image import LayerImage
from registry.digest import Digest
from tests.fs.erofs_images import UUID, assert_shows, check_image, mounted, write_image
from tests.fs.layers_by_hand import entry
from tests.strategies import Node, trees

SIZES = [0, 1, 4095, 4096, 4097, 9000, 1 << 20, (1 << 33) + 5]
CAPABILITY = b"\1\0\0\2" + bytes(16)
ACL = bytes.fromhex("02000000 01000600ffffffff 04000400ffffffff 20000000ffffffff")


def compiled(*entries: TocEntry) -> LayerImage:
    return compile_layer(Toc(entries=list(entries)), payload_bytes=1 << 50)


def file_entry(name: str, size: int, **more) -> TocEntry:
    """Chunks of no content: nobody verifies them here."""
    digest = str(Digest.of(name.encode()))  # files with the same digests would share their content
    piece = min(size, 200 << 20)
    return entry(
        name, size=size, offset=1, chunk_digest=digest if size else "", chunk_size=piece, **more
    )


def to_entries(node: Node, size: int) -> list[TocEntry]:
    more = {
        "mode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
        "xattrs": {
            # Its form is the kernel's business.
            name: CAPABILITY if name == "security.capability" else value
            for name, value in node.xattrs.items()
        },
        "modtime": "2020-01-02T03:04:05Z" if node.mtime > 0 else "1960-01-01T00:00:00Z",
    }
    if node.kind == "reg":
        first = file_entry(node.name, size, **more)
        offsets = range(200 << 20, size, 200 << 20)
        return [first] + [
            entry(
                node.name,
                "chunk",
                offset=1,
                chunk_offset=offset,
                chunk_size=min(size - offset, 200 << 20),
                chunk_digest=first.chunk_digest,
            )
            for offset in offsets
        ]
    if node.kind in ("char", "block"):
        more |= {"dev_major": node.device[0], "dev_minor": node.device[1] << 4}
    return [entry(node.name, node.kind, link_name=node.link_name, **more)]


@st.composite
def layers(draw: st.DrawFn) -> LayerImage:
    entries: list[TocEntry] = []
    for node in draw(trees):
        if node.kind != "hardlink":
            entries += to_entries(node, draw(st.sampled_from(SIZES)))
    linkable = [e.name for e in entries if e.type not in ("dir", "chunk")]
    if linkable:
        for number, name in enumerate(draw(st.lists(st.sampled_from(linkable), max_size=3))):
            entries.append(entry(f"links/{number}", "hardlink", link_name=name))
    try:
        return compiled(*entries)
    except TocError:
        assume(False)  # noqa: FBT003 - hypothesis's way
        raise


def check(image: LayerImage) -> None:
    with tempfile.TemporaryDirectory() as directory:
        meta, data = write_image(image, Path(directory))
        check_image(meta, data)
        with mounted(meta, data, Path(directory) / "mnt") as top:
            assert_shows(image.inodes, top)


@pytest.mark.fuse
@settings(max_examples=40)
@given(layers())
def test_any_tree_is_shown_as_it_is(image: LayerImage) -> None:
    check(image)


@pytest.mark.fuse
def test_what_does_not_fit_beside_an_inode_gets_blocks() -> None:
    long = [entry(f"d/{number:0200}", "fifo") for number in range(300)]
    links = [
        entry(f"l{n}", "symlink", link_name="x" * n) for n in (1, 3000, 4031, 4032, 4064, 4095)
    ]
    many = [entry(f"{number}", "dir", mode=0o700) for number in range(1000)]
    xattrs = {f"user.{number}": bytes(3000) for number in range(30)}
    check(
        compiled(*long, *links, *many, entry("d", "dir", xattrs=xattrs), entry("f", xattrs=xattrs))
    )


@pytest.mark.fuse
def test_every_kind_of_attribute_is_kept_and_common_ones_once() -> None:
    common = {"user.same": bytes(1000), "security.capability": CAPABILITY}
    files = [
        entry(f"f{number}", xattrs=common | {"user.own": b"%d" % number}) for number in range(50)
    ]
    acls = {"system.posix_acl_access": ACL, "system.posix_acl_default": ACL}
    image = compiled(
        *files,
        entry("acl", "dir", mode=0o644, xattrs=acls),
        entry("opaque/.wh..wh..opq"),
        entry("gone/.wh.file"),
        entry("foreign", xattrs={"com.apple.x": b"1", "user.": b"2", "user.empty": b""}),
    )
    output = io.BytesIO()
    write_erofs(image.inodes, output, data_bytes=image.data_bytes, uuid=UUID)
    assert output.getvalue().count(b"same" + bytes(1000)) == 1
    with tempfile.TemporaryDirectory() as directory:
        meta, data = write_image(image, Path(directory))
        check_image(meta, data)
        with mounted(meta, data, Path(directory) / "mnt") as top:
            assert os.listxattr(top / "foreign") == ["user.empty"]
            assert os.getxattr(top / "acl", "system.posix_acl_default") == ACL
            assert os.getxattr(top / "opaque", "trusted.overlay.opaque") == b"y"
            assert stat.S_ISCHR((top / "gone/file").lstat().st_mode)
            assert os.getxattr(top / "f7", "user.own") == b"7"
            assert os.getxattr(top / "f7", "user.same") == bytes(1000)


def test_the_same_tree_gives_the_same_bytes() -> None:
    entries = [entry("b"), entry("a", "dir"), file_entry("a/f", 5, xattrs={"user.x": b"y"})]
    outputs = [io.BytesIO(), io.BytesIO()]
    for output in outputs:
        write_erofs(compiled(*entries).inodes, output, data_bytes=4096, uuid=UUID)
    assert outputs[0].getvalue() == outputs[1].getvalue()


@pytest.mark.parametrize(
    "xattrs",
    [
        {f"user.{number}": bytes(60_000) for number in range(5)},
        {"user.large": bytes(1 << 16)},
        {"system.posix_acl_access": b"none"},
        {"user." + "n" * 256: b""},
    ],
    ids=["together", "value", "acl", "name"],
)
def test_what_there_is_no_room_for_is_named(xattrs: dict[str, bytes]) -> None:
    image = compiled(entry("some/file", xattrs=xattrs))
    with pytest.raises(UnrepresentableError):
        write_erofs(image.inodes, io.BytesIO(), data_bytes=0, uuid=UUID)


def test_a_data_space_of_too_many_blocks_is_refused() -> None:
    image = compiled()
    with pytest.raises(UnrepresentableError, match="bytes of content"):
        write_erofs(image.inodes, io.BytesIO(), data_bytes=1 << 44, uuid=UUID)
