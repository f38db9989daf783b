"""From what the kernel saw to what a layer should put first. No I/O.

Paths come in the order in which they were first seen. What was opened counts as read, because programs map files rather than
read them, and the kernel does not tell. Of a large file it matters how much was read: what a container needs first is
fetched as a whole, and much that it does not need would delay the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from estargz.access_record import Access
from registry.digest import Digest
from snapshotter.sampling.fanotify import FileEvent, WatchError
from snapshotter.sampling.lower_layers import LayerFile

LARGE_FILE_BYTES: Final = 8 << 20
_MIN_READ_SHARE: Final = 0.5
_MAX_PATHS: Final = 1_000_000
_DELETED: Final = " (deleted)"


@dataclass(slots=True)
class AccessLog:
    """The files that were opened below a mountpoint, each once."""

    mountpoint: Path
    _paths: dict[str, None] = field(default_factory=dict)

    def add(self, event: FileEvent) -> None:
        """Takes note of an event.

        Raises:
            WatchError: there are more files than an image can reasonably have.
        """
        path = self._relative(event.path)
        if not path or path.endswith(_DELETED):
            return
        self._paths[path] = None
        if len(self._paths) > _MAX_PATHS:
            raise WatchError(f"more than {_MAX_PATHS} files were opened")

    def paths(self) -> Iterator[str]:
        """Relative to the root of the image."""
        yield from self._paths

    def _relative(self, path: str) -> str:
        # In the container the mount is the root; only its preparation happens outside.
        return path.removeprefix(f"{self.mountpoint}/").lstrip("/")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A large file that was opened, but of which too little was read to fetch it ahead."""

    path: str
    file_bytes: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class ChosenFiles:
    """What should come first, how much it is, and what was left out."""

    accesses: tuple[Access, ...]
    content_bytes: int
    left_out: tuple[LeftOut, ...]


def choose_files(
    log: AccessLog,
    find: Callable[[str], LayerFile | None],
    count_read: Callable[[Path], int],
    manifest: Digest,
) -> ChosenFiles:
    """Names the layer of each file; drops those that no layer has, and large ones of which less than half was read.

    Args:
        log: what was opened.
        find: which layer has a path.
        count_read: how many bytes of a layer's file were read.
        manifest: that of the image.
    """
    accesses: list[Access] = []
    left_out: list[LeftOut] = []
    size = 0
    for path in log.paths():
        found = find(path)
        if found is None or not _is_utf8(path):
            continue
        if found.file_bytes >= LARGE_FILE_BYTES:
            read = count_read(found.path)
            if read < _MIN_READ_SHARE * found.file_bytes:
                left_out.append(LeftOut(path, found.file_bytes, read))
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
