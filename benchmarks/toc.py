"""Tables of contents: how long it takes to open, verify and index one, and how much memory.

    python -m benchmarks.toc [--entries N] [--json FILE]

A table of as many files as a large image has is made, and compressed as it would be in a blob. Then, in a process of its own, it is
decompressed and compared with its digest, parsed, and compiled into what is served. Seconds are a processor's; memory is the peak of
what is resident, less what was before.
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
from estargz.opening import extract_toc, found_elsewhere
from estargz.toc import TOC_NAME, Toc, TocEntry, dump_toc, parse_toc
from fs.compiling import compile_layer
from registry.digest import Digest

_MB: Final = 1_000_000
_FILES_IN_A_DIRECTORY: Final = 11
_MEMBER_BYTES: Final = 2_000
_BLOB_BYTES: Final = 1 << 40
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
    if not image.data_bytes:
        raise RuntimeError("nothing was compiled")
    return {
        "openSeconds": times[1] - times[0],
        "parseSeconds": times[2] - times[1],
        "compileSeconds": times[3] - times[2],
        "seconds": times[3] - times[0],
        "parsedBytes": parsed - before,
        "peakBytes": resident("VmHWM") - before,
    }


def measure_apart(count: int) -> dict[str, Any]:
    """Makes a table, and measures it in a process that has done nothing else."""
    raw = dump_toc(Toc(entries=list(make_entries(count))))
    with tempfile.NamedTemporaryFile() as file:
        file.write(compress(raw))
        file.flush()
        argv = [sys.executable, "-m", "benchmarks.toc", "--measure", file.name, str(Digest.of(raw))]
        done = subprocess.run(argv, capture_output=True, check=True, text=True)
    return {"entries": count, "jsonBytes": len(raw), **json.loads(done.stdout)}


def table(result: dict[str, Any]) -> Table:
    shown = Table("", "measured", "budget")
    shown.add_row("decompress and verify, seconds", f"{result['openSeconds']:.2f}", "")
    shown.add_row("parse, seconds", f"{result['parseSeconds']:.2f}", "")
    shown.add_row("compile, seconds", f"{result['compileSeconds']:.2f}", "")
    shown.add_row("together, seconds", f"{result['seconds']:.2f}", "2")
    shown.add_row("resident when parsed, MB", f"{result['parsedBytes'] / _MB:.0f}", "")
    shown.add_row("resident at the peak, MB", f"{result['peakBytes'] / _MB:.0f}", "150")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.toc")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, digest = arguments.measure
        print(json.dumps(measure(Path(path), Digest.parse(digest))))
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
