"""Leaving the control group that a process was started in: who ends everything in it then leaves the process alone.

Control groups of version 2 only (cgroups(7)): their directories are where ``cgroup2`` is mounted.
"""

import contextlib
import os
from pathlib import Path

_MEMBERS = "cgroup.procs"


def leave(name: str) -> bool:
    """Moves this process into a group of its own below the topmost; tells whether it is in one.

    Not done where it is in the topmost already, which nobody ends, nor where that cannot be written to.
    """
    mounted = _mountpoint()
    if mounted is None or _own_path() in (None, "/"):
        return False
    group = mounted / name
    try:
        group.mkdir(exist_ok=True)
        (group / _MEMBERS).write_text(str(os.getpid()))
    except OSError:
        return False
    return True


def remove(name: str) -> None:
    """Takes a group away that ``leave`` made, unless a process is in it."""
    mounted = _mountpoint()
    if mounted is not None:
        with contextlib.suppress(OSError):
            (mounted / name).rmdir()


def _own_path() -> str | None:
    """This process's group, as a path from where it is mounted; None without version 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    return None


def _mountpoint() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(place.split()[4])
    return None
