"""The machine that is measured on: what it is, what runs on it, and its page cache."""

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.leftovers import processes_under

_PROGRAMS = {
    "containerd": ("containerd", "--version"),
    "runc": ("runc", "--version"),
    "ctr-remote": ("ctr-remote", "--version"),
    "docker-registry": ("docker-registry", "--version"),
}
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def describe() -> dict[str, Any]:
    """What a reader of results must know of this machine, and of the versions."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "pyestargz": _first_line(("git", "describe", "--always", "--dirty")),
        **{name: _first_line(command) for name, command in _PROGRAMS.items()},
    }


def _first_line(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=10)
    except OSError:
        return "absent"
    return (done.stdout.splitlines() or ["unknown"])[0]


def drop_page_cache() -> None:
    """Writes back and forgets what the kernel keeps of files, directories and inodes."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def read_into_page_cache(paths: Iterable[Path]) -> None:
    """Reads files, so that whoever serves them is not slowed by this machine's disk."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            buffer = bytearray(4 << 20)
            while file.readinto(buffer):
                pass


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes used so far: CPU time, and the memory that is resident now."""

    cpu_seconds: float
    rss_bytes: int


def usage_under(directory: Path) -> Usage:
    """What the processes use that were started with ``directory`` in their command line, and their children."""
    ticks = pages = 0
    for pid in processes_under(directory):
        try:
            fields = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            continue  # it has ended meanwhile
        ticks += int(fields[11]) + int(fields[12])
        pages += int(fields[21])
    return Usage(ticks / _TICKS_PER_SECOND, pages * _PAGE_BYTES)
