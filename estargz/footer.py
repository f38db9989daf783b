"""The footer: the last bytes of a blob, which say where its TOC is.

Four are written by gzip writers, all an empty gzip member with an extra field (integers are little-endian):

    51 bytes    "SG", 22, 16 hexadecimal digits of the TOC's offset, "STARGZ"
    47 bytes    the digits and "STARGZ" without the subfield's header: stargz, before eStargz
    46 bytes    "SG", 17, "STARGZEXTERNALTOC": the TOC is in another image

and two by zstd:chunked writers, a skippable zstd frame with 64-bit integers and a magic number at the end:

    40 bytes    offset, compressed and raw size of the TOC, type of the TOC (1)
    64 bytes    the same, and offset, compressed and raw size of tar-split data, which no reader needs
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

from estargz.errors import NotEstargzError, TocError

FOOTER_BYTES: Final = 51
LEGACY_FOOTER_BYTES: Final = 47
EXTERNAL_FOOTER_BYTES: Final = 46
FRAME_HEADER_BYTES: Final = 8
SKIPPABLE_MAGIC: Final = b"\x50\x2a\x4d\x18"

_HEADER = bytes.fromhex("1f8b08040000000000ff")
_EMPTY_BLOCK = bytes.fromhex("010000ffff") + bytes(8)
_EXTERNAL = b"\x15\x00SG\x11\x00STARGZEXTERNALTOC"
# Writers differ in the gzip header's mtime, flags and OS fields; what follows is fixed.
_ANY_HEADER = rb"\x1f\x8b\x08\x04.{6}"
_GZIP_FOOTER = re.compile(
    _ANY_HEADER + rb"\x1a\x00SG\x16\x00([0-9a-f]{16})STARGZ.{13}\Z", re.DOTALL
)
_LEGACY_FOOTER = re.compile(_ANY_HEADER + rb"\x16\x00([0-9a-f]{16})STARGZ.{13}\Z", re.DOTALL)
_EXTERNAL_FOOTER = re.compile(_ANY_HEADER + _EXTERNAL + rb".{13}\Z", re.DOTALL)

_ZSTD_MAGIC = b"GnUlInUx"
_ZSTD_MAGICS = (_ZSTD_MAGIC, b"GNUlInUx")  # the second since the footer has 64 bytes
_ZSTD_FIELDS = struct.Struct("<4Q")
_ZSTD_FOOTERS = (40, 64)
_CRFS_TOC = 1


@dataclass(frozen=True, slots=True)
class Footer:
    """The TOC is a gzip member, from ``toc_offset`` up to the footer."""

    toc_offset: int
    footer_bytes: int = FOOTER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ZstdFooter:
    """The TOC is a zstd frame inside a skippable one; the offset is that of the inner frame.

    Attributes:
        toc_offset: where it begins.
        toc_bytes: how long it is.
        raw_toc_bytes: how long it is decompressed.
        footer_bytes: of the footer, with the header of its frame.
    """

    toc_offset: int
    toc_bytes: int
    raw_toc_bytes: int
    footer_bytes: int = FRAME_HEADER_BYTES + _ZSTD_FOOTERS[0]


@dataclass(frozen=True, slots=True)
class ExternalFooter:
    """The TOC is in another image."""

    footer_bytes: int = EXTERNAL_FOOTER_BYTES


AnyFooter = Footer | ZstdFooter | ExternalFooter


def parse_footer(tail: bytes) -> AnyFooter:
    """Reads the footer from the last bytes of a blob.

    Raises:
        NotEstargzError: they are no footer.
        TocError: they are one of zstd:chunked, for a type of TOC that nobody knows.
    """
    if match := _GZIP_FOOTER.search(tail[-FOOTER_BYTES:]):
        return Footer(int(match[1], 16))
    if match := _LEGACY_FOOTER.search(tail[-LEGACY_FOOTER_BYTES:]):
        return Footer(int(match[1], 16), LEGACY_FOOTER_BYTES)
    if tail.endswith(_ZSTD_MAGICS):
        return _parse_zstd_footer(tail)
    if _EXTERNAL_FOOTER.search(tail[-EXTERNAL_FOOTER_BYTES:]):
        return ExternalFooter()
    raise NotEstargzError("the last bytes are no footer that is known")


def dump_footer(footer: AnyFooter) -> bytes:
    """The bytes that end a blob; of the layouts with a TOC those that are written today, with 51 and 40 bytes."""
    match footer:
        case Footer(toc_offset):
            field = b"\x1a\x00SG\x16\x00%016xSTARGZ" % toc_offset
            return _HEADER + field + _EMPTY_BLOCK
        case ExternalFooter():
            return _HEADER + _EXTERNAL + _EMPTY_BLOCK
        case ZstdFooter():
            fields = (footer.toc_offset, footer.toc_bytes, footer.raw_toc_bytes, _CRFS_TOC)
            return skippable_frame(_ZSTD_FIELDS.pack(*fields) + _ZSTD_MAGIC)


def skippable_frame(content: bytes) -> bytes:
    """A zstd frame that decompressors pass over."""
    return SKIPPABLE_MAGIC + struct.pack("<I", len(content)) + content


def _parse_zstd_footer(tail: bytes) -> ZstdFooter:
    for size in _ZSTD_FOOTERS:
        frame = tail[-size - FRAME_HEADER_BYTES :]
        is_whole = len(frame) == size + FRAME_HEADER_BYTES
        if is_whole and frame.startswith(SKIPPABLE_MAGIC + struct.pack("<I", size)):
            offset, compressed, raw, kind = _ZSTD_FIELDS.unpack_from(frame, FRAME_HEADER_BYTES)
            if kind != _CRFS_TOC:
                raise TocError("", f"it is of type {kind}, only type {_CRFS_TOC} is known")
            return ZstdFooter(
                toc_offset=offset,
                toc_bytes=compressed,
                raw_toc_bytes=raw,
                footer_bytes=len(frame),
            )
    raise NotEstargzError("the last bytes are a zstd:chunked footer of unknown length")
