"""Compares two directory trees in everything a container can see of them."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_NAMESPACES = ("security.", "trusted.", "user.")
_OVERLAY_INTERNAL = "trusted.overlay."
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What can be known about one name in a tree.

    Modification times are compared in whole seconds: that is all an eStargz table of contents keeps. The link count and size of a
    directory say something about the filesystem, not about the image, and are left out (None).
    """

    type: str
    mode: str
    uid: int
    gid: int
    mtime_seconds: int
    size: int | None
    link_count: int | None
    linked_names: frozenset[str]
    link_target: str | None
    device: tuple[int, int] | None
    xattrs: frozenset[tuple[str, bytes]]
    sha256: str | None


def compare_trees(expected: Path, actual: Path) -> list[str]:
    """Return every difference between two trees, one line each; empty when there is none."""
    return compare_entries(read_tree(expected), read_tree(actual))


def compare_entries(left: Mapping[str, Entry], right: Mapping[str, Entry]) -> list[str]:
    """Return every difference between two trees that were read, the expected one first."""
    differences = [f"{name!r}: missing" for name in sorted(left.keys() - right.keys())]
    differences += [f"{name!r}: unexpected" for name in sorted(right.keys() - left.keys())]
    for name in sorted(left.keys() & right.keys()):
        for field in fields(Entry):
            wanted, got = getattr(left[name], field.name), getattr(right[name], field.name)
            if wanted != got:
                differences.append(f"{name!r}: {field.name} is {got!r}, expected {wanted!r}")
    return differences


def read_tree(root: Path) -> dict[str, Entry]:
    """Return everything below `root`, and `root` itself as '.'.

    Raises:
        OSError: Something cannot be read.
    """
    inodes: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    statuses = {}
    for path in _walk(root):
        name, status = os.path.relpath(path, root), path.lstat()
        statuses[name] = (path, status)
        if not stat.S_ISDIR(status.st_mode):
            inodes[status.st_dev, status.st_ino].add(name)
    return {
        name: _read_entry(path, status, frozenset(inodes[status.st_dev, status.st_ino]))
        for name, (path, status) in statuses.items()
    }


def _walk(root: Path) -> Iterator[Path]:
    yield root
    for top, directories, files in os.walk(root, onerror=_raise):
        yield from (Path(top) / name for name in directories + files)


def _raise(error: OSError) -> None:
    raise error


def _read_entry(path: Path, status: os.stat_result, linked_names: frozenset[str]) -> Entry:
    mode = status.st_mode
    is_directory, is_device = stat.S_ISDIR(mode), stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    return Entry(
        type=_TYPES[stat.S_IFMT(mode)],
        mode=oct(stat.S_IMODE(mode)),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_seconds=status.st_mtime_ns // 1_000_000_000,
        size=None if is_directory else status.st_size,
        link_count=None if is_directory else status.st_nlink,
        linked_names=linked_names,
        link_target=str(path.readlink()) if stat.S_ISLNK(mode) else None,
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else None,
        xattrs=frozenset(_read_xattrs(path)),
        sha256=_hash_file(path) if stat.S_ISREG(mode) else None,
    )


def _read_xattrs(path: Path) -> Iterator[tuple[str, bytes]]:
    for key in os.listxattr(path, follow_symlinks=False):
        if key.startswith(_NAMESPACES) and not key.startswith(_OVERLAY_INTERNAL):
            yield key, os.getxattr(path, key, follow_symlinks=False)


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
