"""One daemon for each root: a second one is told so before it touches anything."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapshotter.errors import StartupError


@contextmanager
def held_alone(directory: Path, *, owner: str, root: Path) -> Iterator[None]:
    """Holds a directory for this process alone; the kernel lets go of it when the process ends.

    Args:
        directory: where the lock is.
        owner: what kind of daemon this is, for those who cannot have it.
        root: what they asked for.

    Raises:
        StartupError: another process holds it.
        OSError: the lock cannot be made.
    """
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartupError(
                f"another {owner} already uses {root}", "stop it, or choose another --root"
            ) from error
        yield
