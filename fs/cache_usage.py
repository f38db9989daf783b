"""How much the cache holds, how much it may hold, and how the disk under it fares: numbers that all stores share.

The loop's thread changes ``used_bytes``; writers, in whatever thread, only ask whether there is room. Several of them may do
so at once, so the limit can be exceeded by what is being written at that moment, and by no more.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """How much content is kept, and what goes first.

    Attributes:
        max_bytes: how much disk all content may take; 0 for ``disk_share`` of the disk.
        disk_share: the part of the disk that content may take where no number is given.
        high_share: when more than this part of the limit is taken, room is made.
        low_share: room is made until no more than this part is taken.
        lease_seconds: what was read, or attached, so lately is not evicted.
        retry_seconds: how long nothing is tried after there was too little that could go.
    """

    max_bytes: int = 0
    disk_share: float = 0.5
    high_share: float = 0.95
    low_share: float = 0.9
    lease_seconds: float = 60.0
    retry_seconds: float = 5.0

    def limit_bytes(self, root: Path) -> int:
        """How much content may be kept under a directory.

        Raises:
            OSError: the directory is not there.
        """
        if self.max_bytes:
            return self.max_bytes
        disk = os.statvfs(root)
        return int(disk.f_blocks * disk.f_frsize * self.disk_share)

    @property
    def spare_share(self) -> float:
        """The part of the limit up to which content is fetched unasked: well below what evicting leaves."""
        return max(0.0, 2 * self.low_share - self.high_share)


class CacheFullError(OSError):
    """Content cannot be kept: the cache is full, and nothing in it can go at once."""

    def __init__(self, used_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            errno.EDQUOT, f"the cache is full: it holds {used_bytes} of {limit_bytes} bytes"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """The cache as a whole. All sizes in bytes of disk.

    Attributes:
        used_bytes: content of all layers.
        limit_bytes: how much it may be.
        evicted_bytes: content that was given up so far, to make room.
        unkept_writes: how often content was served and could not be kept.
        shared_bytes: content that was copied from other layers, and not fetched.
        disk_error: why the last write failed; empty if it did not.
    """

    used_bytes: int
    limit_bytes: int
    evicted_bytes: int
    unkept_writes: int
    shared_bytes: int
    disk_error: str


class CacheUsage:
    """Counts what all stores of one root hold.

    Attributes:
        limit_bytes: how much it may be.
        spare_bytes: how much it may be by what nobody waited for.

    Args:
        limit_bytes: how much it may be.
        tell_pressure: called, in any thread, when there is no room.
    """

    def __init__(
        self, limit_bytes: int, tell_pressure: Callable[[], object] = lambda: None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.spare_bytes = limit_bytes
        self._tell_pressure = tell_pressure
        self._used_bytes = 0
        self._evicted_bytes = 0
        self._shared_bytes = 0
        self._unkept_writes = 0
        self._disk_error = ""

    def __repr__(self) -> str:
        return f"<CacheUsage {self._used_bytes} of {self.limit_bytes}>"

    @property
    def used_bytes(self) -> int:
        """The blocks that all content takes."""
        return self._used_bytes

    @property
    def disk_error(self) -> str:
        """Why the last write failed; empty if it did not."""
        return self._disk_error

    def check_room(self, size: int) -> None:
        """Says whether so many bytes more may be written.

        Raises:
            CacheFullError: they may not.
        """
        if self._used_bytes + size > self.limit_bytes:
            raise CacheFullError(self._used_bytes, self.limit_bytes)

    def tell_taken(self, size: int) -> None:
        """Content takes more room."""
        self._used_bytes += size
        self._tell_pressure()

    def tell_evicted(self, size: int) -> None:
        """Content was given up to make room."""
        self._used_bytes -= size
        self._evicted_bytes += size

    def tell_deleted(self, size: int) -> None:
        """Content was deleted with its layer."""
        self._used_bytes -= size

    def tell_shared(self, size: int) -> None:
        """Content was copied from another layer."""
        self._shared_bytes += size

    def tell_written(self) -> None:
        """A write went well."""
        self._disk_error = ""

    def tell_unkept(self, error: OSError) -> None:
        """A write failed."""
        self._disk_error = str(error)
        self._unkept_writes += 1
        self._tell_pressure()

    def statistics(self) -> CacheStatistics:
        """The numbers of now."""
        return CacheStatistics(
            used_bytes=self._used_bytes,
            limit_bytes=self.limit_bytes,
            evicted_bytes=self._evicted_bytes,
            shared_bytes=self._shared_bytes,
            unkept_writes=self._unkept_writes,
            disk_error=self._disk_error,
        )
