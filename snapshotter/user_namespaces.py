"""A user namespace that only says which users are which (user_namespaces(7)): what a mount with mapped owners is made from."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from snapshotter.errors import IdMappingError

# It says so when it is in its namespace, and stays there until it is told to end.
_COMMAND: Final = ("unshare", "--user", "--", "sh", "-c", "echo in && read -r end")
_END_SECONDS: Final = 10.0


@contextlib.contextmanager
def user_namespace(*, uid_map: str, gid_map: str) -> Iterator[int]:
    """A descriptor of a namespace with these maps; nothing is left of it afterwards but what was made from it.

    Args:
        uid_map: lines of the namespace's number, the machine's, and how many, as ``/proc/PID/uid_map`` has them.
        gid_map: likewise, of groups.

    Raises:
        IdMappingError: the machine makes no such namespace.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - nothing of it is anybody's input
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise IdMappingError(f"unshare(1) cannot be run: {error.strerror}") from error
    with process:
        try:
            descriptor = _mapped(process, uid_map, gid_map)
        finally:
            _end(process)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _mapped(process: subprocess.Popen[bytes], uid_map: str, gid_map: str) -> int:
    if not _stream(process.stdout).readline():
        said = _stream(process.stderr).read().decode(errors="replace").strip()
        raise IdMappingError(f"no user namespace can be made: {said}")
    here = Path(f"/proc/{process.pid}")
    try:
        # The kernel takes a map in one write only.
        (here / "uid_map").write_text(uid_map)
        (here / "gid_map").write_text(gid_map)
        return os.open(here / "ns" / "user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = f"the kernel does not take the maps {uid_map!r} and {gid_map!r}"
        raise IdMappingError(f"{reason}: {error.strerror}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        _stream(process.stdin).close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("a stream that was asked for")
    return stream
