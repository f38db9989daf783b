"""Mounting without ``mount(8)``: the system calls, with what the kernel says when it refuses.

``mount(8)`` of older util-linux puts a loop device in front of every image file; EROFS mounts files
as they are since Linux 6.12. Everything here blocks, and may need an answer of a file system that
this process serves: call it in a thread.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fs.errors import MountError

_libc = ctypes.CDLL(None, use_errno=True)
# System calls of include/uapi/asm-generic/unistd.h: the same numbers on every architecture.
_OPEN_TREE, _MOUNT_SETATTR = 428, 442
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
# include/uapi/linux/mount.h
_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_MOVE_FROM_EMPTY_PATH = 4
_ATTRIBUTE_READ_ONLY = 1
_ATTRIBUTE_MAPPED = 0x00100000
_TREE_CLONE = 1
_MOUNT_ATTRIBUTES = struct.Struct(
    "4Q"
)  # struct mount_attr: set, clear, propagation, user namespace
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_MNT_DETACH = 2
_MOUNTINFO = Path("/proc/self/mountinfo")
_MAX_REASON_BYTES = 4096


def mount(kind: str, source: str, mountpoint: Path, options: Mapping[str, str | None]) -> None:
    """Mounts a file system, read-only.

    Args:
        kind: the file system type.
        source: what the mount table says is mounted; for a file system in a file, its path.
        mountpoint: a directory.
        options: those of the file system; None for one without a value.

    Raises:
        MountError: the kernel refuses; what it says is in the message.
    """
    context = _call(kind, _FSOPEN, kind.encode(), _CLOEXEC)
    try:
        try:
            for name, value in {"source": source, "ro": None, **options}.items():
                command = _SET_FLAG if value is None else _SET_STRING
                text = None if value is None else os.fsencode(value)
                _call(source, _FSCONFIG, context, command, name.encode(), text, 0)
            _call(source, _FSCONFIG, context, _CREATE, None, None, 0)
            mounted = _call(source, _FSMOUNT, context, _CLOEXEC, _ATTRIBUTE_READ_ONLY)
        except MountError as error:
            raise MountError(source, _reason(context) or error.reason) from error
    finally:
        os.close(context)
    try:
        target = os.fsencode(mountpoint)
        _call(str(mountpoint), _MOVE_MOUNT, mounted, b"", _AT_FDCWD, target, _MOVE_FROM_EMPTY_PATH)
    finally:
        os.close(mounted)


def mount_mapped(directory: Path, mountpoint: Path, user_namespace: int) -> None:
    """Shows a directory once more, read-only, with its owners mapped as a user namespace says.

    Raises:
        MountError: the kernel refuses, as it does for file systems that know no mapped owners.
    """
    source = os.fsencode(directory)
    tree = _call(str(directory), _OPEN_TREE, _AT_FDCWD, source, _TREE_CLONE | os.O_CLOEXEC)
    try:
        set_these = _ATTRIBUTE_READ_ONLY | _ATTRIBUTE_MAPPED
        attributes = _MOUNT_ATTRIBUTES.pack(set_these, 0, 0, user_namespace)
        length = len(attributes)
        _call(str(directory), _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, length)
        target = os.fsencode(mountpoint)
        _call(str(mountpoint), _MOVE_MOUNT, tree, b"", _AT_FDCWD, target, _MOVE_FROM_EMPTY_PATH)
    finally:
        os.close(tree)


def mount_fuse(name: str, mountpoint: Path) -> int:
    """Mounts a FUSE file system that only root may enter; gives the descriptor that it is to be served on.

    Raises:
        MountError: the kernel refuses.
        OSError: ``/dev/fuse`` cannot be opened.
    """
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = {"fd": str(descriptor), "rootmode": "40000", "user_id": "0", "group_id": "0"}
    try:
        mount("fuse", name, mountpoint, options)
    except MountError:
        os.close(descriptor)
        raise
    return descriptor


def unmount_lazily(mountpoint: Path) -> None:
    """Takes away whatever is mounted there, however often; who uses it keeps it until the last file is closed.

    Raises:
        MountError: the kernel refuses.
    """
    for _ in mounts_at(mountpoint):
        if _libc.umount2(os.fsencode(mountpoint), _MNT_DETACH) != 0:
            number = ctypes.get_errno()
            if number != errno.EINVAL:  # somebody was faster
                raise MountError(str(mountpoint), f"cannot be unmounted: {os.strerror(number)}")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount: where it is, what kind of file system, and with which options of its own."""

    point: Path
    kind: str
    options: tuple[str, ...]


def mount_table() -> list[Mount]:
    """Everything that is mounted here, the oldest first (proc_pid_mountinfo(5))."""
    found = []
    for fields in _mount_table():
        told = fields[fields.index("-", 6) + 1 :]  # kind, source if it has one, options
        options = tuple(_unescape(option) for option in told[-1].split(","))
        found.append(Mount(Path(_unescape(fields[4])), told[0], options))
    return found


def mounts_at(mountpoint: Path) -> list[str]:
    """The device numbers, ``major:minor``, of what is mounted there, oldest first."""
    escaped = str(mountpoint).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    return [fields[2] for fields in _mount_table() if fields[4] == escaped]


def mountpoints_below(directory: Path) -> list[Path]:
    """Where anything is mounted directly in a directory."""
    points = (Path(_unescape(fields[4])) for fields in _mount_table())
    return [point for point in points if point.parent == directory]


def _mount_table() -> list[list[str]]:
    return [line.split() for line in _MOUNTINFO.read_text().splitlines()]


def _unescape(text: str) -> str:
    return os.fsdecode(text.encode().decode("unicode_escape").encode("latin-1"))


def _call(subject: str, number: int, *arguments: bytes | int | None) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise MountError(subject, os.strerror(ctypes.get_errno()))
    return int(result)


def _reason(context: int) -> str:
    """What the kernel has to say about a mount that failed: ``e erofs: ...`` and the like, if anything."""
    said = []
    with contextlib.suppress(OSError):  # ENODATA: that is all
        while message := os.read(context, _MAX_REASON_BYTES):
            said.append(message.decode(errors="replace").partition(" ")[2].strip())
    return "; ".join(said)
