"""Whole conversions: ``pyestargz convert`` against ``ctr-remote images convert --estargz``, of one image in one run.

    python -m benchmarks.convert [--layers N] [--layer-mb N] [--json FILE]

Both read from the content store of one real containerd and write into it, with two processors. Measured are the time, the
processors' time, the resident memory at its peak (as the kernel counts it when a process ends, so mapped files included), and the size
of what comes out. Then every chunk of our result is decompressed and checked, in one thread, as reading it would do it.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.system_image import SystemImage, archive, build
from estargz.codec import Codec
from estargz.file_chunks import ListedFile, list_files
from estargz.members import InnerSpan, decode_member
from estargz.opening import extract_toc
from estargz.toc import TOC_DIGEST_ANNOTATION, parse_toc
from estargz.verify import VerifiedChunk
from registry.digest import Digest
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Ctr
from tests.e2e.oci_layout import Json
from tests.e2e.snapshotter_process import cli_argv, cli_environment
from tests.estargz.blobs import open_blob

_MB: Final = 1_000_000
_PROCESSORS: Final = 2
_SOURCE: Final = "bench.test/system:latest"
_GO: Final = "bench.test/system:ctr-remote"
_OURS: Final = "bench.test/system:pyestargz"


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion: seconds of the clock and of processors, memory at its peak, size of all layers."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    layer_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Decompressing and checking all chunks of an image, in one thread: a processor's time, whoever else uses it."""

    content_bytes: int
    cpu_seconds: float


def measure_process(argv: Sequence[str | Path]) -> tuple[float, float, int]:
    """Runs a program; gives its seconds, its processors' seconds, and its peak of resident bytes."""
    words = [os.fspath(word) for word in argv]
    begin = time.perf_counter()
    with subprocess.Popen(words, env=dict(cli_environment()), stdout=subprocess.DEVNULL) as popen:
        _, status, usage = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if popen.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {popen.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10


def convert(ctr: Ctr, argv: Sequence[str | Path], name: str) -> Conversion:
    """Measures a conversion to an image of containerd's."""
    seconds, cpu_seconds, peak_bytes = measure_process(argv)
    size = sum(layer["size"] for layer in read_manifest(ctr, name)["layers"])
    return Conversion(seconds, cpu_seconds, peak_bytes, size)


def by_ctr_remote(ctr: Ctr) -> Conversion:
    target = ("--address", ctr.socket, "--namespace", ctr.namespace)
    words = ("images", "convert", "--estargz", "--oci", _SOURCE, _GO)
    return convert(ctr, ("ctr-remote", *target, *words), _GO)


def by_pyestargz(ctr: Ctr, work: Path) -> Conversion:
    access = ("--containerd-address", ctr.socket, "--namespace", ctr.namespace)
    names = (f"containerd:{_SOURCE}", f"containerd:{_OURS}")
    words = ("convert", *access, "--work-dir", work, *names)
    return convert(ctr, cli_argv(words), _OURS)


def read_manifest(ctr: Ctr, name: str) -> dict[str, Any]:
    (line,) = ctr("images", "ls", f"name=={name}").splitlines()[1:]
    manifest: dict[str, Any] = json.loads(ctr("content", "get", line.split()[2]))
    return manifest


def read_back(blobs: Path, manifest: Mapping[str, Any]) -> Reading:
    """Decompresses and checks every chunk of an image."""
    total, cpu_seconds = 0, 0.0
    for layer in manifest["layers"]:
        blob = (blobs / layer["digest"].replace(":", "/")).read_bytes()
        expected = Digest.parse(layer["annotations"][TOC_DIGEST_ANNOTATION])
        found, _ = open_blob(blob)
        toc = parse_toc(extract_toc(found, expected=expected))
        files = list(list_files(toc, payload_bytes=found.payload_bytes))
        begin = time.thread_time()
        total += _decode(files, memoryview(blob), found.codec)
        cpu_seconds += time.thread_time() - begin
    return Reading(total, cpu_seconds)


def _decode(files: Iterable[ListedFile], blob: memoryview, codec: Codec) -> int:
    total = 0
    for file in files:
        for chunk in file.chunks:
            span, offset = InnerSpan(chunk.inner_offset, chunk.size), chunk.blob_offset
            (content,) = decode_member(blob[offset:], [span], blob_offset=offset, codec=codec)
            total += len(VerifiedChunk(file.entry.name, chunk.digest.raw, content).data)
    return total


def document(image: SystemImage, go: Conversion, ours: Conversion, reading: Reading) -> Json:
    """All that was measured, and the machine it was measured on."""
    return {
        "machine": describe(),
        "image": {
            "layers": image.layers,
            "tarBytes": image.tar_bytes,
            "gzipBytes": image.blob_bytes,
        },
        "ctrRemote": dataclasses.asdict(go),
        "pyestargz": dataclasses.asdict(ours),
        "wallRatio": ours.seconds / go.seconds,
        "sizeRatio": ours.layer_bytes / go.layer_bytes,
        "decodeAndVerifyMegabytesPerSecond": reading.content_bytes / reading.cpu_seconds / _MB,
    }


def table(result: Json) -> Table:
    shown = Table("", "ctr-remote", "pyestargz", "ours / theirs", "budget")
    go, ours = result["ctrRemote"], result["pyestargz"]
    for name, key, unit, budget in (
        ("seconds", "seconds", 1, "0.25"),
        ("processors' seconds", "cpu_seconds", 1, ""),
        ("peak resident, MB", "peak_bytes", _MB, "300 MB"),
        ("layers, MB", "layer_bytes", _MB, "1.02"),
    ):
        values = [f"{side[key] / unit:.1f}" for side in (go, ours)]
        shown.add_row(name, *values, f"{ours[key] / go[key]:.3f}", budget)
    speed = result["decodeAndVerifyMegabytesPerSecond"]
    shown.add_row("decode and verify, MB/s", "", f"{speed:.0f}", "", "300 MB/s")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convert")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--layer-mb", type=int, default=120, help="size of each layer's tar")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_PROCESSORS])
    with tempfile.TemporaryDirectory(prefix="pyestargz-bench-") as directory, Containerd() as node:
        work, ctr = Path(directory), node.ctr()
        image = build(work / "image", layers=arguments.layers, layer_bytes=arguments.layer_mb * _MB)
        archive(image.layout, work / "image.tar")
        name = ("--base-name", _SOURCE.partition(":")[0])
        ctr("images", "import", "--no-unpack", *name, work / "image.tar", timeout_seconds=300)
        ours, go = by_pyestargz(ctr, work), by_ctr_remote(ctr)
        blobs = node.directory / "root" / "io.containerd.content.v1.content" / "blobs"
        reading = read_back(blobs, read_manifest(ctr, _OURS))
    result = document(image, go, ours, reading)
    Console(width=100).print(table(result))
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
