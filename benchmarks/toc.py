"""Tables of contents: how long it takes to open, verify and index one, and how much memory.

    python -m benchmarks.toc [--entries N] [--json FILE]

A table of as many files as a large image has is made, and compressed as it would be in a blob. Then, in a process of its own, it is
decompressed and compared with its digest, parsed, compiled into what is served, and written as an EROFS image. Seconds are a
processor's; memory is the peak of what is resident, less what was before. One more process attaches what the first one kept: the
time is the clock's, the best of a few.
"""

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from estargz.codec import Codec
from estargz.opening import extract_toc, found_elsewhere
from estargz.toc import TOC_NAME, Toc, TocEntry, dump_toc, parse_toc
from fs.compiling import compile_layer
from fs.erofs.metadata_image import write_erofs
from fs.inodes import InodeTable
from fs.layer_image import CHUNKS_NAME, TREE_NAME, map_image, save_image
from fs.packed_file import SOURCE_BYTES
from registry.digest import Digest

_MB: Final = 1_000_000
_FILES_IN_A_DIRECTORY: Final = 11
_MEMBER_BYTES: Final = 2_000
_BLOB_BYTES: Final = 1 << 40
_ATTACHES: Final = 5
_TIME: Final = "2024-05-01T10:20:30Z"


def make_entries(count: int) -> Iterator[TocEntry]:
    """Directories, and regular files of one chunk in them."""
    for number in range(count):
        directory, place = divmod(number, _FILES_IN_A_DIRECTORY + 1)
        path = f"usr/lib/python3/dist-packages/package{directory % 300}/part{directory}/"
        if not place:
            yield TocEntry(name=path, type="dir", mode=0o755, modtime=_TIME)
            continue
        digest = f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"
        yield TocEntry(
            name=f"{path}module_{number}.py",
            type="reg",
            size=1000 + number % 9000,
            mode=0o644,
            modtime=_TIME,
            offset=_MEMBER_BYTES * (number + 1),
            digest=digest,
            chunk_digest=digest,
        )


def compress(raw: bytes) -> bytes:
    """What a blob, or the image of external tables, has of a table."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(TOC_NAME)
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    return gzip.compress(output.getvalue(), mtime=0)


def resident(what: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"the kernel does not tell {what}")


def measure(path: Path, digest: Digest) -> dict[str, float]:
    """Opens, verifies and indexes a table, in this process."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    times = [time.process_time()]
    found = found_elsewhere(path.read_bytes(), blob_bytes=_BLOB_BYTES)
    raw = extract_toc(found, expected=digest)
    times.append(time.process_time())
    toc = parse_toc(raw)
    times.append(time.process_time())
    parsed = resident("VmRSS")
    image = compile_layer(toc, payload_bytes=found.payload_bytes)
    times.append(time.process_time())
    with tempfile.TemporaryFile() as output:
        write_erofs(image.inodes, output, data_bytes=image.data_bytes, uuid=bytes(16))
        times.append(time.process_time())
        erofs_bytes = output.seek(0, 2)
    save_image(image, path.parent, source=bytes(SOURCE_BYTES))
    return {
        "openSeconds": times[1] - times[0],
        "parseSeconds": times[2] - times[1],
        "compileSeconds": times[3] - times[2],
        "erofsSeconds": times[4] - times[3],
        "seconds": times[4] - times[0],
        "erofsBytes": erofs_bytes,
        "parsedBytes": parsed - before,
        "peakBytes": resident("VmHWM") - before,
    }


def measure_kept(directory: Path) -> dict[str, float]:
    """Attaches a layer that was compiled before, walks its tree, and looks every name up, in this process."""
    before = resident("VmRSS")
    image = map_image(directory, source=bytes(SOURCE_BYTES), codec=Codec.GZIP)
    attached = resident("VmRSS")
    times = []
    for _ in range(_ATTACHES):
        start = time.perf_counter()
        map_image(directory, source=bytes(SOURCE_BYTES), codec=Codec.GZIP)
        times.append(time.perf_counter() - start)
    start = time.process_time()
    found = [(d, name) for d in directories(image.inodes) for name, _ in image.inodes.entries(d)]
    walked = time.process_time()
    for directory_index, name in found:
        image.inodes.attributes(image.inodes.lookup(directory_index, name))
    looked_up = time.process_time()
    return {
        "attachSeconds": min(times),
        "attachedBytes": attached - before,
        "keptBytes": sum((directory / name).stat().st_size for name in (TREE_NAME, CHUNKS_NAME)),
        "listSeconds": (walked - start) / len(found),
        "lookupSeconds": (looked_up - walked) / len(found),
    }


def directories(inodes: InodeTable) -> Iterator[int]:
    """Every directory of a tree."""
    return (index for index in range(len(inodes)) if inodes.is_directory(index))


def measure_apart(count: int) -> dict[str, Any]:
    """Makes a table, and measures it in processes that have done nothing else."""
    raw = dump_toc(Toc(entries=list(make_entries(count))))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "toc"
        file.write_bytes(compress(raw))
        made = _run("--measure", str(file), str(Digest.of(raw)))
        kept = _run("--measure-kept", directory)
    return {"entries": count, "jsonBytes": len(raw), **made, **kept}


def _run(*arguments: str) -> dict[str, float]:
    argv = [sys.executable, "-m", "benchmarks.toc", *arguments]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def table(result: dict[str, Any]) -> Table:
    shown = Table("", "measured", "budget")
    shown.add_row("decompress and verify, seconds", f"{result['openSeconds']:.2f}", "")
    shown.add_row("parse, seconds", f"{result['parseSeconds']:.2f}", "")
    shown.add_row("compile, seconds", f"{result['compileSeconds']:.2f}", "")
    shown.add_row("EROFS image, seconds", f"{result['erofsSeconds']:.2f}", "")
    shown.add_row("EROFS image, MB", f"{result['erofsBytes'] / _MB:.1f}", "")
    shown.add_row("together, seconds", f"{result['seconds']:.2f}", "2")
    shown.add_row("resident when parsed, MB", f"{result['parsedBytes'] / _MB:.0f}", "")
    shown.add_row("resident at the peak, MB", f"{result['peakBytes'] / _MB:.0f}", "150")
    shown.add_row("kept on disk, MB", f"{result['keptBytes'] / _MB:.0f}", "")
    shown.add_row("attach again, milliseconds", f"{result['attachSeconds'] * 1e3:.1f}", "10")
    shown.add_row("resident when attached, MB", f"{result['attachedBytes'] / _MB:.1f}", "10")
    shown.add_row("a name of a listing, microseconds", f"{result['listSeconds'] * 1e6:.1f}", "")
    shown.add_row("look a name up, microseconds", f"{result['lookupSeconds'] * 1e6:.1f}", "")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.toc")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure-kept", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, digest = arguments.measure
        print(json.dumps(measure(Path(path), Digest.parse(digest))))
        return
    if arguments.measure_kept:
        print(json.dumps(measure_kept(arguments.measure_kept)))
        return
    result = {"machine": describe(), **measure_apart(arguments.entries)}
    console = Console(width=100)
    console.print(f"{result['entries']:,} entries, {result['jsonBytes'] / _MB:.0f} MB of JSON")
    console.print(table(result))
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
