"""Sets of extended attributes as bytes: equal sets are equal bytes, so a layer keeps each of them once."""

import struct
from collections.abc import Mapping

NO_XATTRS: Mapping[bytes, bytes] = {}
_LENGTHS = struct.Struct("=II")


def dump_xattrs(xattrs: Mapping[bytes, bytes]) -> bytes:
    """A set as bytes: for each attribute the lengths of name and value, the name, the value; sorted by name."""
    pieces = []
    for name, value in sorted(xattrs.items()):
        pieces += [_LENGTHS.pack(len(name), len(value)), name, value]
    return b"".join(pieces)


def parse_xattrs(data: bytes) -> Mapping[bytes, bytes]:
    """A set from what ``dump_xattrs`` made of it."""
    xattrs = {}
    position = 0
    while position < len(data):
        name_bytes, value_bytes = _LENGTHS.unpack_from(data, position)
        name_end = position + _LENGTHS.size + name_bytes
        value_end = name_end + value_bytes
        xattrs[data[position + _LENGTHS.size : name_end]] = data[name_end:value_end]
        position = value_end
    return xattrs
