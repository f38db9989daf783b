"""EROFS images of layers with all their content, mounted for real, and what the tree should be."""

import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fs.erofs.metadata_image import write_erofs
from fs.inodes import ROOT, Attributes, Extent, InodeTable
from fs.layer_image import LayerImage
from fs.mounting import mount, unmount_lazily

MAX_CONTENT_BYTES = 10_000
UUID = bytes(range(16))
_PREFIXES = (b"user.", b"trusted.", b"security.", b"system.posix_acl_")


def write_image(image: LayerImage, directory: Path) -> tuple[Path, Path]:
    """The metadata image of a layer, and a data space in which every extent has content of its own."""
    meta, data = directory / "meta.erofs", directory / "data"
    with meta.open("w+b") as output:
        write_erofs(image.inodes, output, data_bytes=image.data_bytes, uuid=UUID)
    with data.open("wb") as file:
        file.truncate(image.data_bytes)
        for index in range(len(image.inodes)):
            attributes = image.inodes.attributes(index)
            if stat.S_ISREG(attributes.mode) and attributes.nlink:
                extent = image.inodes.extent(index)
                file.seek(extent.offset)
                file.write(content(extent))
    return meta, data


def content(extent: Extent) -> bytes:
    """What the first bytes of a file are, or of all that share an extent; the rest is zeros."""
    text = f"at {extent.offset} " * MAX_CONTENT_BYTES
    return text.encode()[: min(extent.size, MAX_CONTENT_BYTES)]


def check_image(meta: Path, data: Path) -> None:
    """Fails unless erofs-utils finds nothing wrong: superblock and its checksum, inodes, directories."""
    _fsck(meta, data)


def check_image_and_content(meta: Path, data: Path) -> None:
    """Fails also unless erofs-utils can read every byte of every file, from where the image says that it is."""
    _fsck(meta, data, "--extract")


def _fsck(meta: Path, data: Path, *options: str) -> None:
    command = ["fsck.erofs", *options, f"--device={data}", str(meta)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def mounted(meta: Path, data: Path, mountpoint: Path) -> Iterator[Path]:
    mountpoint.mkdir(exist_ok=True)
    mount("erofs", str(meta), mountpoint, {"device": str(data)})
    try:
        yield mountpoint
    finally:
        unmount_lazily(mountpoint)


def assert_shows(inodes: InodeTable, top: Path) -> None:
    """Fails unless everything below a directory is as the table says, hard links included."""
    numbers: dict[int, int] = {}
    pending = [(ROOT, os.fsencode(top))]
    while pending:
        index, path = pending.pop()
        status = os.lstat(path)
        assert numbers.setdefault(index, status.st_ino) == status.st_ino
        assert _seen(status) == inodes.attributes(index), path
        assert _xattrs(path) == _representable(inodes.xattrs(index), status.st_mode), path
        if stat.S_ISLNK(status.st_mode):
            assert os.readlink(path) == inodes.target(index)  # noqa: PTH115 - bytes
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:  # noqa: PTH123 - names are bytes
                assert file.read(MAX_CONTENT_BYTES) == content(inodes.extent(index))
        if stat.S_ISDIR(status.st_mode):
            children = inodes.children(index)
            assert sorted(os.listdir(path)) == sorted(children)  # noqa: PTH208 - bytes
            pending += [(child, path + b"/" + name) for name, child in children.items()]
    assert len(set(numbers.values())) == len(numbers)


def _seen(status: os.stat_result) -> Attributes:
    return Attributes(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        size=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
        mtime_ns=status.st_mtime_ns,
        rdev=status.st_rdev,
        nlink=status.st_nlink,
    )


def _xattrs(path: bytes) -> dict[bytes, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {
        os.fsencode(name): os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if not name.startswith("user.") or _may_have_user_xattrs(os.lstat(path).st_mode)
    }


def _representable(xattrs: Mapping[bytes, bytes], mode: int) -> dict[bytes, bytes]:
    prefixes = _PREFIXES if _may_have_user_xattrs(mode) else _PREFIXES[1:]
    return {name: value for name, value in xattrs.items() if name.startswith(prefixes)}


def _may_have_user_xattrs(mode: int) -> bool:
    """The kernel reads them of nothing else, see xattr(7)."""
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
