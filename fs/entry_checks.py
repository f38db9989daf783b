"""What of a TOC entry is believed: its name, its attributes, its link target, in the form that is served."""

import os
import stat
from datetime import datetime
from functools import lru_cache

from estargz.errors import TocError
from estargz.toc import TocEntry, TocLimits
from fs.inodes import Attributes

TYPE_BITS = {
    "dir": stat.S_IFDIR,
    "reg": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_MAX_ID = 0xFFFFFFFF
_MAJORS, _MINORS = 1 << 12, 1 << 20  # Linux's dev_t
_MAX_NAME_BYTES = 255
_MAX_UTF8_BYTES = 4  # of one character
_MAX_SECONDS = (1 << 63) // 1_000_000_000 - 1
_CACHED_TIMES = 1024

Path = tuple[bytes, ...]


def clean_path(name: str, limits: TocLimits) -> Path:
    """A tar name's components: ``.``, ``..`` and empty ones resolved; it cannot leave the layer.

    Raises:
        TocError: it is too long or too deep, or holds a NUL.
    """
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > limits.max_path_bytes or b"\0" in encoded:
        raise TocError(name[:80], f"a name of {len(encoded)} bytes, or with a NUL in it")
    parts: list[bytes] = []
    for part in encoded.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    if len(parts) > limits.max_depth or any(len(p) > _MAX_NAME_BYTES for p in parts):
        raise TocError(name[:80], "a path too deep, or too long a name in it")
    return tuple(parts)


def base_name(name: str, limits: TocLimits) -> tuple[str, bytes] | None:
    """A tar name split into its directory, still to be cleaned, and a last component that needs no cleaning.

    This is what nearly all names allow, and most of what a compilation would otherwise spend its time with; None means
    that ``clean_path`` has to look at the whole name.
    """
    directory, _, last = name.rstrip("/").rpartition("/")
    encoded = last.encode(errors="surrogateescape")
    is_plain = last not in ("", ".", "..") and len(encoded) <= _MAX_NAME_BYTES
    if not is_plain or b"\0" in encoded or len(name) * _MAX_UTF8_BYTES > limits.max_path_bytes:
        return None
    return directory, encoded


def parse_attributes(entry: TocEntry, limits: TocLimits) -> Attributes:
    """What ``stat`` will tell of an entry's inode; a symbolic link's size comes with its target.

    Raises:
        TocError: a number is out of range, or the time is none.
    """
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        raise TocError(entry.name, f"owner {entry.uid}:{entry.gid}")
    if not 0 <= entry.size <= limits.max_content_bytes:
        raise TocError(entry.name, f"size {entry.size}")
    rdev = 0
    if entry.type in ("char", "block"):
        if not (0 <= entry.dev_major < _MAJORS and 0 <= entry.dev_minor < _MINORS):
            raise TocError(entry.name, f"device {entry.dev_major}:{entry.dev_minor}")
        rdev = os.makedev(entry.dev_major, entry.dev_minor)
    return Attributes(
        mode=TYPE_BITS[entry.type] | (entry.mode & 0o7777),
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size if entry.type == "reg" else 0,
        mtime_ns=parse_mtime_ns(entry),
        rdev=rdev,
    )


def parse_mtime_ns(entry: TocEntry) -> int:
    """An entry's time in nanoseconds since 1970, whole seconds; 0 where there is none.

    Times before 1678 and after 2262, as Go's zero time, become the first or last that can be told.

    Raises:
        TocError: it is no time.
    """
    try:
        seconds = _seconds(entry.modtime) if entry.modtime else 0
    except (ValueError, OverflowError) as error:
        raise TocError(entry.name, f"modification time {entry.modtime!r}") from error
    return max(-_MAX_SECONDS, min(seconds, _MAX_SECONDS)) * 1_000_000_000


@lru_cache(_CACHED_TIMES)
def _seconds(text: str) -> int:
    """Files of a package have the same time."""
    return int(datetime.fromisoformat(text).timestamp())


def parse_link_target(entry: TocEntry, limits: TocLimits) -> bytes:
    """A symbolic link's target.

    Raises:
        TocError: it is empty, too long, or holds a NUL.
    """
    target = entry.link_name.encode()
    if not 0 < len(target) <= limits.max_path_bytes or b"\0" in target:
        raise TocError(entry.name, f"a link target of {len(target)} bytes, or with a NUL in it")
    return target
