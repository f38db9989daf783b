"""Packed files: sections of numbers and bytes that are mapped into memory and used as they lie there.

    magic 8 | version 4 | crc32 4 | source 32 | number of sections 4 | unused 4
    for each section: offset 8 | length 8
    the sections, each at a multiple of 8

Numbers are in the order of the machine that wrote them: on another one the version is not known. The checksum covers
all that follows it. ``source`` names what the file was made from, so that files which belong together are known to.
"""

import mmap
import struct
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from isal import isal_zlib

from fs.errors import LayerStateError

SOURCE_BYTES = 32
_HEADER = struct.Struct("=8sII32sI4x")
_CHECKED_FROM = 16
_SECTION = struct.Struct("=QQ")
_PIECE_BYTES = 256 << 10

Buffer = bytes | bytearray | memoryview


def dump_packed(sections: Sequence[Buffer], *, magic: bytes, version: int, source: bytes) -> bytes:
    """The content of a packed file.

    Args:
        sections: what it holds.
        magic: eight bytes that tell its kind.
        version: of the sections' meaning.
        source: 32 bytes that name what it was made from.
    """
    table = bytearray()
    position = _HEADER.size + _SECTION.size * len(sections)
    body = []
    for section in sections:
        padding = -position % 8
        body += [bytes(padding), section]
        length = memoryview(section).nbytes
        table += _SECTION.pack(position + padding, length)
        position += padding + length
    checked = b"".join((source, struct.pack("=I4x", len(sections)), table, *body))
    return struct.pack("=8sII", magic, version, isal_zlib.crc32(checked)) + checked


def map_packed(
    path: Path, *, magic: bytes, version: int, source: bytes, sections: int
) -> list[memoryview]:
    """The sections of a packed file, mapped; they stay readable when the file is deleted.

    The file is read once for its checksum, but not through the map: what nobody uses takes no memory.

    Raises:
        LayerStateError: it is missing, damaged, or of another kind, version or source.
    """
    try:
        with path.open("rb", buffering=0) as file:
            _check(file, path, (magic, version, source, sections))
            mapped = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    except OSError as error:
        raise LayerStateError(path, str(error)) from error
    return _sections(mapped, path)


def _sections(content: memoryview, path: Path) -> list[memoryview]:
    count = _HEADER.unpack_from(content)[4]
    spans = [
        _SECTION.unpack_from(content, _HEADER.size + _SECTION.size * number)
        for number in range(count)
    ]
    if any(offset + length > len(content) for offset, length in spans):
        raise LayerStateError(path, "its sections do not fit")
    return [content[offset : offset + length] for offset, length in spans]


def _check(file: FileIO, path: Path, expected: tuple[bytes, int, bytes, int]) -> None:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise LayerStateError(path, "it is cut off")
    magic, version, checksum, source, sections = _HEADER.unpack(header)
    if (magic, version, source, sections) != expected:
        raise LayerStateError(path, f"it is of another kind, version ({version}) or TOC")
    actual = isal_zlib.crc32(header[_CHECKED_FROM:])
    # One small buffer for all: fresh memory for each piece would take longer than the checksum.
    buffer = memoryview(bytearray(_PIECE_BYTES))
    while length := file.readinto(buffer):
        actual = isal_zlib.crc32(buffer[:length], actual)
    if actual != checksum:
        raise LayerStateError(path, "its checksum is wrong")
