"""What a test run must not leave behind: processes and mounts that belong to one directory.

Every daemon of a test lives in a temporary directory of its own, so "started by this test" is decided by path: a process
whose command line names the directory, and everything below such a process, belongs to it. Nothing else is ever touched.
"""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path

_MNT_DETACH = 2
_ROUNDS = 20  # mounts can be stacked on each other, and killed shims can hand over children


def processes_under(directory: Path) -> dict[int, str]:
    """Return the processes whose command line names `directory`, and their descendants, with their command lines."""
    needle = os.fsencode(directory)
    commands: dict[int, bytes] = {}
    parents: dict[int, int] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with contextlib.suppress(OSError, IndexError):
            parents[pid] = int(_stat_fields(pid)[1])
            commands[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
    found = {pid for pid, command in commands.items() if needle in command and pid != os.getpid()}
    found |= {pid for pid in parents if _descends_from(pid, found, parents)}
    return {
        pid: commands[pid].replace(b"\0", b" ").decode(errors="replace").strip()
        for pid in sorted(found & commands.keys())
        if pid != os.getpid() and not _is_zombie(pid)
    }


def mounts_under(directory: Path) -> list[Path]:
    """Return the mountpoints at or below `directory`, the latest mount first."""
    mountpoints = [
        Path(line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode())
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return [point for point in reversed(mountpoints) if point.is_relative_to(directory)]


def wait_for_exit(pids: Iterable[int], *, deadline_seconds: float) -> bool:
    """Wait until all `pids` are gone; return whether they are by the deadline."""
    end = time.monotonic() + deadline_seconds
    return all(_wait_for_one(pid, max(0.0, end - time.monotonic())) for pid in pids)


def kill_processes_under(directory: Path) -> None:
    """Kill what `processes_under` names and wait until it is gone, bounded."""
    for _ in range(_ROUNDS):
        pids = processes_under(directory)
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for_exit(pids, deadline_seconds=5)


def unmount_all_under(directory: Path) -> None:
    """Detach every mount at or below `directory`, bounded; mounts that will not go are left for the caller to report."""
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(_ROUNDS):
        mounts = mounts_under(directory)
        if not mounts:
            return
        for point in mounts:
            libc.umount2(os.fsencode(point), _MNT_DETACH)


def _stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _is_zombie(pid: int) -> bool:
    try:
        return _stat_fields(pid)[0] == "Z"
    except (OSError, IndexError):
        return True


def _descends_from(pid: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    for _ in range(len(parents)):
        pid = parents.get(pid, 0)
        if pid in ancestors:
            return True
        if pid <= 1:
            return False
    return False


def _wait_for_one(pid: int, timeout_seconds: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_seconds * 1000))
    finally:
        os.close(descriptor)
