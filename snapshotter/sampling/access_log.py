"""From what the kernel saw to what a layer should put first. No I/O.

Paths come in the order in which they were first seen. fanotify tells that a file was opened, and whether it was read; not
how much. Files are mapped rather than read by some programs, so a file that was only opened counts too, unless it is
large: fetching much that may not be needed would delay what is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from estargz.access_record import Access
from registry.digest import Digest
from snapshotter.sampling.fanotify import FileEvent, Happened, WatchError
from snapshotter.sampling.lower_layers import LayerFile

LARGE_FILE_BYTES: Final = 16 << 20
_MAX_PATHS: Final = 1_000_000
_DELETED: Final = " (deleted)"


@dataclass(slots=True)
class AccessLog:
    """The files that were opened below a mountpoint, each once, and whether they were read."""

    mountpoint: Path
    _was_read: dict[str, bool] = field(default_factory=dict)

    def add(self, event: FileEvent) -> None:
        """Takes note of an event.

        Raises:
            WatchError: there are more files than an image can reasonably have.
        """
        path = self._relative(event.path)
        if not path or path.endswith(_DELETED):
            return
        read = bool(event.happened & (Happened.READ | Happened.EXECUTED))
        self._was_read[path] = read or self._was_read.get(path, False)
        if len(self._was_read) > _MAX_PATHS:
            raise WatchError(f"more than {_MAX_PATHS} files were opened")

    def files(self) -> Iterator[tuple[str, bool]]:
        """Paths relative to the root of the image, and whether they were read."""
        yield from self._was_read.items()

    def _relative(self, path: str) -> str:
        # In the container the mount is the root; only its preparation happens outside.
        return path.removeprefix(f"{self.mountpoint}/").lstrip("/")


@dataclass(frozen=True, slots=True)
class ChosenFiles:
    """What should come first, and how much was left out or is not from the image."""

    accesses: tuple[Access, ...]
    content_bytes: int
    left_out: tuple[str, ...]


def choose_files(
    log: AccessLog, find: Callable[[str], LayerFile | None], manifest: Digest
) -> ChosenFiles:
    """Names the layer of each file; drops those that no layer has, and large ones that were not read.

    Args:
        log: what was opened.
        find: which layer has a path.
        manifest: that of the image.
    """
    accesses: list[Access] = []
    left_out: list[str] = []
    size = 0
    for path, was_read in log.files():
        found = find(path)
        if found is None or not _is_utf8(path):
            continue
        if found.file_bytes > LARGE_FILE_BYTES and not was_read:
            left_out.append(path)
            continue
        accesses.append(Access(path, manifest, found.layer_index))
        size += found.file_bytes
    return ChosenFiles(tuple(accesses), size, tuple(left_out))


def dump_accesses(accesses: tuple[Access, ...]) -> bytes:
    """The record of accesses that ``ctr-remote images optimize --record-out`` would write."""
    return b"".join(
        msgspec.json.encode(
            {
                "path": access.path,
                "manifestDigest": str(access.manifest),
                "layerIndex": access.layer_index,
            }
        )
        + b"\n"
        for access in accesses
    )


def _is_utf8(path: str) -> bool:
    """Whether a record, which is JSON, can hold a name that the file system may have given as any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
