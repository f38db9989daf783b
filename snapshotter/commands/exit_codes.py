"""The exit codes of ``pyestargz`` (documented in docs/cli.md), and which error leads to which."""

from enum import IntEnum

from estargz.errors import EstargzError, NoSuchFileError
from fs.errors import FsError
from registry.errors import (
    ContentError,
    NotFoundError,
    RateLimitedError,
    UnauthorizedError,
    UnreachableError,
)
from snapshotter.containerd_errors import ContainerdNotFoundError, ContainerdUnreachableError
from snapshotter.errors import (
    CommandError,
    ConfigError,
    FsServerError,
    LayerUnavailableError,
    SnapshotterError,
)


class ExitCode(IntEnum):
    """What a command tells the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    UNAUTHORIZED = 5
    INTERRUPTED = 130


# Subclasses come before their bases: the first match counts.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (NotFoundError, ExitCode.NOT_FOUND),
    (NoSuchFileError, ExitCode.NOT_FOUND),
    (ContainerdNotFoundError, ExitCode.NOT_FOUND),
    (UnauthorizedError, ExitCode.UNAUTHORIZED),
    (UnreachableError, ExitCode.UNREACHABLE),
    (RateLimitedError, ExitCode.UNREACHABLE),
    (ContainerdUnreachableError, ExitCode.UNREACHABLE),
    (FsServerError, ExitCode.UNREACHABLE),
    (LayerUnavailableError, ExitCode.UNREACHABLE),
    (ConfigError, ExitCode.USAGE),
    (SnapshotterError, ExitCode.FAILED),
    (CommandError, ExitCode.FAILED),
    (ContentError, ExitCode.FAILED),
    (EstargzError, ExitCode.FAILED),
    (FsError, ExitCode.FAILED),
    (OSError, ExitCode.FAILED),
)


def exit_code_of(error: BaseException) -> ExitCode | None:
    """The exit code for a foreseen error; None for one that is a bug."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return None
