"""Which parts of a file have been read: told by what the kernel keeps of it in its page cache.

fanotify tells that a file was read, and of a mapped one only that it was opened; not how much of it. What was not
in the page cache before, and is afterwards, was read, or was read ahead by the kernel: 128 KiB around a page
usually, but megabytes on some disks. So it also counts only if the kernel has noted an access to the page, which it does when it is read
and when a process that had it mapped ends. Where it does not show its notes, all that is there counts.

The sources are posix_fadvise(2), mincore(2), proc_pid_pagemap(5), and the kernel's Documentation/admin-guide/mm/pagemap.rst.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

# Of a file that is larger, this much is looked at at once: mapping all could be more than the kernel grants.
_WINDOW_BYTES: Final = 1 << 30
_RESIDENT: Final = 0x1  # the other bits of mincore's answer are reserved
_PAGEMAP: Final = Path("/proc/self/pagemap")
_FLAGS: Final = Path("/proc/kpageflags")
_ENTRY_BYTES: Final = 8
_FRAME_BITS: Final = (1 << 55) - 1
_REFERENCED: Final = 1 << 2
_ACTIVE: Final = 1 << 6


def forget_large_files(directories: Sequence[Path], *, min_bytes: int) -> None:
    """Takes files of at least some size out of the page cache.

    What another process has mapped stays, and counts as read later.

    Args:
        directories: where they are, at any depth.
        min_bytes: their least size.

    Raises:
        OSError: one cannot be read.
    """
    for path in _large_files(directories, min_bytes):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fdatasync(descriptor)  # what is not on the disk yet cannot be forgotten
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_bytes(path: Path, *, chunk_bytes: int) -> int:
    """How much of a file was read since it was forgotten, in whole chunks: one counts if any of its pages was.

    Args:
        path: a regular file.
        chunk_bytes: what is fetched at once; the last chunk may be shorter.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        was_read = b"".join(
            _read_pages(file.fileno(), start, min(_WINDOW_BYTES, size - start))
            for start in range(0, size, _WINDOW_BYTES)
        )
    chunks = ((start, min(start + chunk_bytes, size)) for start in range(0, size, chunk_bytes))
    return sum(
        end - start
        for start, end in chunks
        if any(was_read[start // mmap.PAGESIZE : -(-end // mmap.PAGESIZE)])
    )


def _read_pages(descriptor: int, start: int, size: int) -> bytes:
    """For each page from ``start``, a multiple of a page's size, 1 if it was read, or 0."""
    # Private and writable only because ctypes takes the address of nothing else; nothing is written.
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY, offset=start) as window:
        first = ctypes.c_char.from_buffer(window)
        address = ctypes.addressof(first)
        del first  # else the mapping could not be closed
        resident = _resident_pages(address, size)
        pages = [page for page, byte in enumerate(resident) if byte & _RESIDENT]
        with contextlib.suppress(PermissionError, FileNotFoundError):
            pages = _accessed(window, address, pages)
    was_read = bytearray(len(resident))
    for page in pages:
        was_read[page] = 1
    return bytes(was_read)


def _resident_pages(address: int, size: int) -> bytes:
    answer = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), answer):
        number = ctypes.get_errno()
        raise OSError(number, f"mincore: {os.strerror(number)}")
    return bytes(answer)


def _accessed(window: mmap.mmap, address: int, pages: Sequence[int]) -> list[int]:
    """Those of a mapping's resident pages whose access the kernel has noted; ours it would note only when they are unmapped.

    Raises:
        PermissionError: it does not tell us.
        FileNotFoundError: it does not tell anybody.
    """
    found = []
    with _PAGEMAP.open("rb", buffering=0) as pagemap, _FLAGS.open("rb", buffering=0) as all_flags:
        for page in pages:
            window[page * mmap.PAGESIZE]  # maps the page
            place = (address // mmap.PAGESIZE + page) * _ENTRY_BYTES
            frame = _number_at(pagemap.fileno(), place) & _FRAME_BITS
            if not frame:  # without CAP_SYS_ADMIN it is hidden
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), os.fspath(_PAGEMAP))
            # A page on its way from one to the other shows neither: a few dozen per processor, at most.
            if _number_at(all_flags.fileno(), frame * _ENTRY_BYTES) & (_REFERENCED | _ACTIVE):
                found.append(page)
    return found


def _number_at(descriptor: int, place: int) -> int:
    return int.from_bytes(os.pread(descriptor, _ENTRY_BYTES, place), sys.byteorder)


def _large_files(directories: Sequence[Path], min_bytes: int) -> Iterator[Path]:
    pending = [os.fspath(directory) for directory in directories]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size >= min_bytes:
                    yield Path(entry.path)
