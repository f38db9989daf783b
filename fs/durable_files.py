"""Files that survive a loss of power: in which order writes, flushes and renames have to be made.

A flushed file may still be missing afterwards if its directory was not flushed; a rename may come to be durable long
before or after the bytes of other files. So: content is flushed before a name leads to it, and where something else
relies on the name, the directory is flushed too. Every function blocks on the disk.
"""

import ctypes
import errno
import os
from pathlib import Path

from fs.packed_file import Buffer

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_MODE = 0o600
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_PIECE_BYTES = 1 << 20
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2  # linux/falloc.h


def write_file(path: Path, content: Buffer) -> None:
    """Writes a file that need not survive a loss of power, or whose damage would be noticed.

    Raises:
        OSError: the disk is full or broken.
    """
    descriptor = os.open(path, _NEW_FILE, _MODE)
    try:
        write_at(descriptor, content, 0)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: Buffer) -> None:
    """Gives a file new content; who reads it meanwhile sees the old or the new. Damage would be noticed.

    Raises:
        OSError: the disk is full or broken; the file is as before.
    """
    new = path.with_name(f"{path.name}.new")
    write_file(new, content)
    new.replace(path)


def replace_durably(path: Path, content: Buffer) -> None:
    """Gives a file new content: after a loss of power it has the old or the new, whole.

    Raises:
        OSError: the disk is full or broken; the file is as before.
    """
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, _NEW_FILE, _MODE)
    try:
        write_at(descriptor, content, 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)


def sync_file(path: Path) -> None:
    """Makes the content of a file durable.

    Raises:
        OSError: it is not there, or the disk is broken.
    """
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable.

    Raises:
        OSError: the disk is broken.
    """
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, content: Buffer, offset: int) -> None:
    """Writes all of some bytes at a position of a file.

    Raises:
        OSError: the disk is full or broken.
    """
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def copy_range(source: int, target: int, source_offset: int, offset: int, *, length: int) -> None:
    """Copies a part of a file to a place in another one; where the file system can, both share its blocks afterwards.

    Raises:
        OSError: the disk is full or broken.
    """
    while length:
        try:
            copied = os.copy_file_range(source, target, length, source_offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
            piece = os.pread(source, min(length, _PIECE_BYTES), source_offset)
            write_at(target, piece, offset)
            copied = len(piece)
        if not copied:
            return  # the source ends here
        length, source_offset, offset = length - copied, source_offset + copied, offset + copied


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Gives the blocks that lie wholly in a range of a file back to the file system; it reads as zeros.

    Raises:
        OSError: the file system cannot do it.
    """
    mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
    if _libc.fallocate(descriptor, mode, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
