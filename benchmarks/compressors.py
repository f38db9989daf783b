"""Compression libraries side by side: how fast members are compressed and read back, and how large they become.

    python -m benchmarks.compressors [DIRECTORY...]

Makes a tar of the directories (by default this Python's library and the system's shared libraries, at most 60 MB), cuts it
into members as a conversion would, and compresses and decompresses each in one shot, in one thread. Decompression is
measured with and without hashing the content. Libraries that are not installed (zlib-ng is no dependency) are left out.
"""

import gzip
import hashlib
import importlib.util
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deflate
import zstandard
from isal import isal_zlib
from rich.console import Console
from rich.table import Table

from benchmarks.members import default_directories, make_tar
from estargz.codec import Codec, decompress_start
from estargz.planning import WriterOptions, plan_layer

_MAX_TAR_BYTES = 60_000_000
_MB = 1_000_000
_GZIP = 31

Compress = Callable[[bytes], bytes | bytearray]
Decompress = Callable[[bytes, int], bytes | bytearray]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Sizes of all members, and the seconds it took to make them and to read them."""

    name: str
    compressed_bytes: int
    compress_seconds: float
    decompress_seconds: float


def _zlib_like(module: Any, level: int) -> Compress:
    def compress(content: bytes) -> bytes:
        compressor = module.compressobj(level, module.DEFLATED, _GZIP)
        result: bytes = compressor.compress(content) + compressor.flush()
        return result

    return compress


def _inflate_with(module: Any) -> Decompress:
    def decompress(data: bytes, size: int) -> bytes:
        content: bytes = module.decompressobj(wbits=_GZIP).decompress(data, size)
        return content

    return decompress


def _libdeflate(level: int) -> Compress:
    return lambda content: deflate.gzip_compress(content, level)


def _start_of(codec: Codec) -> Decompress:
    return lambda data, size: decompress_start(data, size=size, blob_offset=0, codec=codec)


def _candidates() -> list[tuple[str, Compress, Decompress]]:
    ours = _start_of(Codec.GZIP)
    found: list[tuple[str, Compress, Decompress]] = [
        ("zlib 6", _zlib_like(zlib, 6), _inflate_with(zlib)),
        ("zlib 9", _zlib_like(zlib, 9), _inflate_with(zlib)),
        ("libdeflate 1", _libdeflate(1), lambda data, _: deflate.gzip_decompress(data)),
        ("libdeflate 6, read by isal", _libdeflate(6), ours),
        ("libdeflate 9", _libdeflate(9), lambda data, _: deflate.gzip_decompress(data)),
        ("libdeflate 12", _libdeflate(12), lambda data, _: deflate.gzip_decompress(data)),
        ("isal 1", _zlib_like(isal_zlib, 1), _inflate_with(isal_zlib)),
        ("isal 3", _zlib_like(isal_zlib, 3), _inflate_with(isal_zlib)),
    ]
    if importlib.util.find_spec("zlib_ng"):
        zlib_ng = importlib.import_module("zlib_ng.zlib_ng")
        found += [
            (f"zlib-ng {level}", _zlib_like(zlib_ng, level), _inflate_with(zlib_ng))
            for level in (6, 9)
        ]
    for level in (1, 3, 6, 9, 15):
        compressor = zstandard.ZstdCompressor(level)
        found.append((f"zstandard {level}", compressor.compress, _start_of(Codec.ZSTD)))
    return found


def _measure(
    name: str, contents: Sequence[bytes], compress: Compress, decompress: Decompress
) -> _Measured:
    start = time.perf_counter()
    members = [bytes(compress(content)) for content in contents]
    compressed = time.perf_counter()
    for member, content in zip(members, contents, strict=True):
        decompress(member, len(content))
    end = time.perf_counter()
    size = sum(map(len, members))
    return _Measured(name, size, compressed - start, end - compressed)


def main() -> None:
    directories = [Path(argument) for argument in sys.argv[1:]] or default_directories()
    with tempfile.TemporaryDirectory() as work:
        tar = Path(work) / "layer.tar"
        make_tar(tar, directories, max_bytes=_MAX_TAR_BYTES)
        plan = plan_layer(memoryview(tar.read_bytes()), WriterOptions())
    contents = [b"".join(member.pieces) for member in plan.members]
    total = sum(map(len, contents))
    start = time.perf_counter()
    for content in contents:
        hashlib.sha256(content).digest()
    hashing = time.perf_counter() - start
    go_bytes = sum(len(gzip.compress(content, 9)) for content in contents)
    table = Table("", "of zlib 9", "compress MB/s", "decompress MB/s", "and sha256 MB/s")
    for name, compress, decompress in _candidates():
        measured = _measure(name, contents, compress, decompress)
        table.add_row(
            name,
            f"{measured.compressed_bytes / go_bytes:.3f}",
            f"{total / measured.compress_seconds / _MB:.0f}",
            f"{total / measured.decompress_seconds / _MB:.0f}",
            f"{total / (measured.decompress_seconds + hashing) / _MB:.0f}",
        )
    console = Console(width=100)
    console.print(
        f"{total / _MB:.0f} MB in {len(contents)} members; sha256 {total / hashing / _MB:.0f} MB/s"
    )
    console.print(table)


if __name__ == "__main__":
    main()
