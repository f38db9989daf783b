"""Members: how fast they are compressed, and how large they become, against zlib's level 9 (what Go's writer uses).

    python -m benchmarks.members [DIRECTORY...]

Makes a tar of the directories (by default this Python's library and the system's shared libraries, at most 100 MB),
plans its members as a conversion would, and compresses each with zlib and with libdeflate, in one thread. The last rows
are whole conversions: tar in, blob out, hashes and all.
"""

import sys
import sysconfig
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from estargz.layer_conversion import convert_layer
from estargz.planning import MemberPlan, WriterOptions, plan_layer
from estargz.writer import compress_members

_MAX_TAR_BYTES = 100_000_000
_LEVELS = (1, 5, 6, 7, 9)
_MB = 1_000_000


def default_directories() -> list[Path]:
    return [Path(sysconfig.get_path("stdlib")), Path("/usr/lib/x86_64-linux-gnu")]


def make_tar(path: Path, directories: Iterable[Path], *, max_bytes: int = _MAX_TAR_BYTES) -> None:
    with tarfile.open(path, "w") as tar:
        for file in (file for directory in directories for file in sorted(directory.rglob("*"))):
            if tar.offset > max_bytes:
                return
            if file.is_file() and not file.is_symlink():
                tar.add(file, recursive=False)


def _zlib_9(plan: MemberPlan) -> int:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return sum(len(compressor.compress(piece)) for piece in plan.pieces) + len(compressor.flush())


def _libdeflate(level: int) -> Callable[[MemberPlan], int]:
    options = WriterOptions(compression_level=level)
    return lambda plan: len(compress_members([plan], options)[0].data)


def _measure(
    plans: Sequence[MemberPlan], compress: Callable[[MemberPlan], int]
) -> tuple[int, float]:
    start = time.perf_counter()
    size = sum(compress(plan) for plan in plans)
    return size, time.perf_counter() - start


def _convert(tar: Path, blob: Path, *, threads: int) -> tuple[int, float]:
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        finished = convert_layer(
            tar, blob, WriterOptions(), pool=pool, window=2 * threads + 2, report=lambda _: None
        )
    return finished.blob_bytes, time.perf_counter() - start


def main() -> None:
    directories = [Path(argument) for argument in sys.argv[1:]] or default_directories()
    with tempfile.TemporaryDirectory() as work:
        tar, blob = Path(work) / "layer.tar", Path(work) / "layer.blob"
        make_tar(tar, directories)
        view = memoryview(tar.read_bytes())
        plans = list(plan_layer(view, WriterOptions()).members)
        table = Table("", "size", "of zlib 9", "MB/s", "times zlib 9")
        zlib_bytes, zlib_seconds = _measure(plans, _zlib_9)

        def show(name: str, size: int, seconds: float) -> None:
            table.add_row(
                name,
                f"{size / _MB:.2f} MB",
                f"{size / zlib_bytes:.4f}",
                f"{view.nbytes / seconds / _MB:.0f}",
                f"{zlib_seconds / seconds:.1f}",
            )

        show("members, zlib 9", zlib_bytes, zlib_seconds)
        for level in _LEVELS:
            show(f"members, libdeflate {level}", *_measure(plans, _libdeflate(level)))
        for threads in (1, 2):
            show(f"conversion, {threads} threads", *_convert(tar, blob, threads=threads))
    console = Console(width=100)
    console.print(f"{view.nbytes / _MB:.0f} MB of tar, {len(plans)} members")
    console.print(table)


if __name__ == "__main__":
    main()
