"""The footer: an empty gzip member whose extra field says where the TOC begins.

Layout, all integers little-endian (eStargz specification, "Footer"; 51 bytes):

    0   10  gzip header, FEXTRA set
    10   2  length of the extra field: 26
    12   2  subfield id "SG"
    14   2  subfield length: 22
    16  16  TOC offset, lower-case hex
    32   6  "STARGZ"
    38  13  an empty deflate block, CRC32 0, size 0
"""

import re
from dataclasses import dataclass

from estargz.errors import NotEstargzError

FOOTER_BYTES = 51

_HEADER = bytes.fromhex("1f8b08040000000000ff") + b"\x1a\x00SG\x16\x00"
_TRAILER = b"STARGZ" + bytes.fromhex("010000ffff") + bytes(8)
# Writers differ in the gzip header's mtime, flags and OS fields; what follows is fixed.
_FOOTER = re.compile(rb"\x1f\x8b\x08\x04.{6}\x1a\x00SG\x16\x00([0-9a-f]{16})STARGZ.{13}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer says: the blob offset of the gzip member that holds the TOC."""

    toc_offset: int


def parse_footer(tail: bytes) -> Footer:
    """Reads the footer from the last bytes of a blob.

    Raises:
        NotEstargzError: there are fewer than 51 bytes, or they are no footer.
    """
    if len(tail) < FOOTER_BYTES:
        raise NotEstargzError(f"{len(tail)} bytes are too few for a footer")
    match = _FOOTER.fullmatch(tail[-FOOTER_BYTES:])
    if match is None:
        raise NotEstargzError("the last bytes are no eStargz footer")
    return Footer(int(match[1], 16))


def dump_footer(footer: Footer) -> bytes:
    """The 51 bytes that end a blob."""
    return _HEADER + b"%016x" % footer.toc_offset + _TRAILER
