"""What can go wrong while a layer is served, and what the kernel is told about it.

    FsError
     +- NoSuchEntryError        no such name
     +- WrongKindError          a directory was meant, or a file, or a link
     +- NoSuchXattrError        no such extended attribute
     +- NotWritableError        somebody tried to write
     +- StaleLayerError         the layer was detached
     +- ChunkUnavailableError   content could not be fetched, or was wrong
     +- LayerStateError         what is kept of a layer on disk cannot be used
     +- UnrepresentableError    a backend cannot show a layer as it is
     +- CompilerLostError       who compiled a layer ended before it was done
     +- MountError              the kernel does not mount, or unmount, something
     +- SettingsError           the file of settings cannot be used
     +- StartError              the fs server cannot start

``errno_of`` is the only place where errors become errno.
"""

import errno
from pathlib import Path

import trio

from estargz.errors import EstargzError
from registry.digest import Digest
from registry.errors import ContentError


class FsError(Exception):
    """Base of all errors of this package."""


class NoSuchEntryError(FsError):
    """A directory has no entry of that name."""

    def __init__(self, name: bytes) -> None:
        super().__init__(f"no entry {name!r}")
        self.name = name


class WrongKindError(FsError):
    """An inode is of another kind than the operation needs."""

    def __init__(self, path: str, expected: str) -> None:
        super().__init__(f"{path} is not {expected}")
        self.path = path
        self.expected = expected


class NoSuchXattrError(FsError):
    """An inode lacks an extended attribute."""

    def __init__(self, name: bytes) -> None:
        super().__init__(f"no extended attribute {name!r}")
        self.name = name


class NotWritableError(FsError):
    """Layers are read-only."""

    def __init__(self) -> None:
        super().__init__("layers are read-only")


class StaleLayerError(FsError):
    """An inode or name belongs to a layer that is not served (any more)."""

    def __init__(self, layer: str) -> None:
        super().__init__(f"layer {layer} is not attached")
        self.layer = layer


class ChunkUnavailableError(FsError):
    """A chunk could not be had in right form; the next read tries again."""

    def __init__(self, *, layer: Digest, chunk: str, reason: str) -> None:
        super().__init__(f"layer {layer}: {chunk}: {reason}")
        self.layer = layer
        self.chunk = chunk
        self.reason = reason


class LayerStateError(FsError):
    """Files that are kept for a layer are missing or damaged; they are made anew."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnrepresentableError(FsError):
    """A backend cannot show a layer as it is; another one can."""


class CompilerLostError(FsError):
    """The process that compiled a layer ended without an answer."""

    def __init__(self) -> None:
        super().__init__(
            "the process that compiled its table of contents was killed; memory may be short"
        )


class SettingsError(FsError):
    """The file of settings cannot be read, or says what cannot be."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"settings {path}: {reason}")
        self.path = path
        self.reason = reason


class MountError(FsError):
    """The kernel does not mount something, or does not let go of it."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class StartError(FsError):
    """The fs server cannot start; the message says what to do."""


# Subclasses come before their bases: the first match counts.
_ERRNO: tuple[tuple[type[BaseException], int], ...] = (
    (NoSuchEntryError, errno.ENOENT),
    (WrongKindError, errno.EINVAL),
    (NoSuchXattrError, errno.ENODATA),
    (NotWritableError, errno.EROFS),
    (StaleLayerError, errno.ESTALE),
    (FsError, errno.EIO),
    (EstargzError, errno.EIO),
    (ContentError, errno.EIO),
    (trio.TooSlowError, errno.EIO),
    (OSError, errno.EIO),
)


def errno_of(error: BaseException) -> int | None:
    """The errno that a failed file system call returns; None for an error nobody foresaw."""
    for kind, number in _ERRNO:
        if isinstance(error, kind):
            return number
    return None
