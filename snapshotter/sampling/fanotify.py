"""What the kernel tells of files that are opened and read in one file system: Linux's fanotify(7).

Python has no door to it, so the three calls go through libc. ``parse_events`` is pure; ``FileEvents`` holds the
kernel's group, whose queue is bounded: when it overflows, what was opened is no longer known, and that is an error.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

from snapshotter.errors import CommandError

_EVENT: Final = struct.Struct("=IBBHQii")
_VERSION: Final = 3
_CLOSE_ON_EXEC: Final = 0x1
_NON_BLOCKING: Final = 0x2
_MARK_ADD: Final = 0x1
_MARK_FILE_SYSTEM: Final = 0x100
_AT_FDCWD: Final = -100
# Each event opens a file for us: few at a time, so that the limit of open files is never met.
_READ_BYTES: Final = 128 * _EVENT.size


class Happened(IntFlag):
    """What was done to a file; the numbers are the kernel's."""

    READ = 0x1
    OPENED = 0x20
    EXECUTED = 0x1000
    OVERFLOW = 0x4000


_WATCHED: Final = Happened.READ | Happened.OPENED | Happened.EXECUTED


class WatchError(CommandError):
    """Accesses to files cannot be watched, or not all of them were seen."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the files that are opened cannot be recorded: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the kernel writes it: what happened, an open file, and who did it."""

    happened: Happened
    descriptor: int
    pid: int


@dataclass(frozen=True, slots=True)
class FileEvent:
    """One file that was opened or read, by its path as the kernel could tell it."""

    path: str
    happened: Happened


def parse_events(data: bytes) -> Iterator[RawEvent]:
    """The events in what was read from the kernel.

    Raises:
        WatchError: it is cut short, or of another version.
    """
    position = 0
    while position < len(data):
        if len(data) - position < _EVENT.size:
            raise WatchError("an event is cut short")
        size, version, _, _, mask, descriptor, pid = _EVENT.unpack_from(data, position)
        if version != _VERSION or not _EVENT.size <= size <= len(data) - position:
            raise WatchError(f"the kernel wrote an event of version {version} and {size} bytes")
        yield RawEvent(Happened(mask), descriptor, pid)
        position += size


class FileEvents:
    """Watches the file system that is mounted somewhere, from construction until the block ends.

    Whatever this process does there itself is not told.

    Raises:
        WatchError: the kernel, or a missing CAP_SYS_ADMIN, does not allow it.
    """

    def __init__(self, mountpoint: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_LARGEFILE
        self._group = libc.fanotify_init(_CLOSE_ON_EXEC | _NON_BLOCKING, flags)
        if self._group < 0:
            raise WatchError(f"fanotify_init: {os.strerror(ctypes.get_errno())}")
        marked = libc.fanotify_mark(
            self._group,
            _MARK_ADD | _MARK_FILE_SYSTEM,
            ctypes.c_uint64(_WATCHED),
            _AT_FDCWD,
            os.fsencode(mountpoint),
        )
        if marked:
            number = ctypes.get_errno()
            self.close()
            raise WatchError(f"fanotify_mark: {os.strerror(number)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops watching; may be called again."""
        group, self._group = self._group, -1
        if group >= 0:
            os.close(group)

    async def wait(self) -> None:
        """Waits until there is something to read."""
        await trio.lowlevel.wait_readable(self._group)

    def read_queued(self) -> Iterator[FileEvent]:
        """What has happened until now.

        Raises:
            WatchError: the kernel's queue has overflown.
        """
        with suppress(BlockingIOError):
            while data := os.read(self._group, _READ_BYTES):
                events = list(parse_events(data))
                try:
                    yield from _resolve(events)
                finally:
                    for event in events:
                        if event.descriptor >= 0:
                            os.close(event.descriptor)


def _resolve(events: list[RawEvent]) -> Iterator[FileEvent]:
    for event in events:
        if event.happened & Happened.OVERFLOW:
            raise WatchError("more files are opened than can be recorded at this speed")
        if event.pid != os.getpid():
            # Not as a Path: names may be anything, and the link is no path of this namespace.
            path = os.readlink(f"/proc/self/fd/{event.descriptor}")  # noqa: PTH115
            yield FileEvent(path, event.happened)
