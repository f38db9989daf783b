"""What ``benchmarks.fs`` does with a tree, and how it is timed."""

import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fs_columns import Served
from benchmarks.fs_tree import BIG, Tree
from benchmarks.machine import drop_page_cache

_BLOCK_BYTES = 1 << 20
_PAGE_BYTES = 4096
SMALL_READS = 10_000
RANDOM_READS = 10_000


Work = Callable[[Tree, Path], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """One measurement: of the reader, and of the CPU of those who serve it, in seconds."""

    seconds: float
    served_cpu_seconds: float


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process holds in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed(work: Work, tree: Tree, served: Served) -> Timing:
    before = sum(map(cpu_seconds, served.processes))
    begin = time.perf_counter()
    work(tree, served.root)
    seconds = time.perf_counter() - begin
    return Timing(seconds, sum(map(cpu_seconds, served.processes)) - before)


def find(_tree: Tree, root: Path) -> None:
    subprocess.run(["find", root, "-ls"], check=True, stdout=subprocess.DEVNULL)


def read_small(tree: Tree, root: Path) -> None:
    step = max(1, tree.small_files // SMALL_READS)
    for number in range(0, min(tree.small_files, step * SMALL_READS), step):
        descriptor = os.open(f"{root}/{tree.small(number)}", os.O_RDONLY)
        while os.read(descriptor, _BLOCK_BYTES):
            pass
        os.close(descriptor)


def read_big(_tree: Tree, root: Path) -> None:
    buffer = bytearray(_BLOCK_BYTES)
    with (root / BIG).open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def forget_big(root: Path) -> None:
    """Drops what the kernel keeps of the big file as it is shown; what lies on the disk below stays in memory."""
    descriptor = os.open(root / BIG, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read_at_random(tree: Tree, root: Path) -> None:
    choose = random.Random(2)  # noqa: S311 - the same pages in every column
    pages = tree.big_bytes // _PAGE_BYTES
    descriptor = os.open(root / BIG, os.O_RDONLY)
    for _ in range(RANDOM_READS):
        os.pread(descriptor, _PAGE_BYTES, _PAGE_BYTES * choose.randrange(pages))
    os.close(descriptor)


# In this order. What is lazy has fetched everything before the second group begins.
FETCHING: Mapping[str, Work] = {
    "sequential read, not fetched": read_big,
    "small files, not fetched": read_small,
}
CACHED: Mapping[str, Work] = {
    "find -ls": find,
    "small files": read_small,
    "sequential read": read_big,
    "random 4 KiB": read_at_random,
}


def measure_fetching(tree: Tree, served: Served) -> dict[str, Timing]:
    """The first reads of what is lazy; afterwards everything has been fetched."""
    timings = {}
    if served.is_lazy:
        for name, work in FETCHING.items():
            drop_page_cache()
            timings[name] = timed(work, tree, served)
        everything = ["tar", "-c", "-f", "-", "."]
        subprocess.run(everything, cwd=served.root, check=True, stdout=subprocess.DEVNULL)
    return timings


def measure_cached(name: str, tree: Tree, served: Served) -> dict[str, Timing]:
    """One kind of work: with all the kernel's caches dropped, and again; in sequence also with the content in memory, but not as it is shown."""
    work = CACHED[name]
    drop_page_cache()
    cold = timed(work, tree, served)
    timings = {f"{name}, cold": cold, f"{name}, warm": timed(work, tree, served)}
    if work is read_big:  # without the disk, and the memory that a hypervisor must find first
        forget_big(served.root)
        timings[f"{name}, from memory"] = timed(work, tree, served)
    return timings
