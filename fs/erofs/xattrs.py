"""Extended attributes in an EROFS image: beside their inode, or once for all inodes that have them.

What no Linux file system takes, an unknown namespace or an empty name, is left out, as it is when a
layer is unpacked. POSIX ACLs are kept in the form of ``setxattr``, which is what the kernel expects.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from fs.erofs.on_disk_format import (
    MAX_SHARED_XATTRS,
    MAX_XATTR_UNITS,
    SHARED_XATTR,
    XATTR_ACLS,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_PREFIXES,
    XATTR_UNIT_BYTES,
)
from fs.errors import UnrepresentableError

_MAX_NAME_BYTES, _MAX_VALUE_BYTES = 0xFF, 0xFFFF
_ACL_VERSION = (2).to_bytes(4, "little")
_ACL_ENTRY_BYTES = 8


class SharedXattrs:
    """The attributes that several inodes have, and what each inode records."""

    def __init__(self, sets: Iterable[tuple[Mapping[bytes, bytes], int]]) -> None:
        """Looks at every set of attributes once.

        Args:
            sets: each, and how many inodes have it.

        Raises:
            UnrepresentableError: one cannot be held.
        """
        counts: Counter[bytes] = Counter()
        for xattrs, inodes in sets:
            for entry in _dump_entries(xattrs):
                counts[entry] += inodes
        self.area = bytearray()
        self._numbers: dict[bytes, int] = {}
        for entry, count in counts.items():
            if count > 1:
                self._numbers[entry] = len(self.area) // XATTR_UNIT_BYTES
                self.area += entry

    def dump(self, xattrs: Mapping[bytes, bytes]) -> bytes:
        """What stands behind an inode with these attributes; nothing if it keeps none.

        Raises:
            UnrepresentableError: they cannot be held.
        """
        shared: list[bytes] = []
        own: list[bytes] = []
        for entry in _dump_entries(xattrs):
            number = self._numbers.get(entry)
            if number is None or len(shared) == MAX_SHARED_XATTRS:
                own.append(entry)
            else:
                shared.append(SHARED_XATTR.pack(number))
        if not shared and not own:
            return b""
        body = b"".join([XATTR_HEADER.pack(0, len(shared)), *shared, *own])
        if xattr_units(body) > MAX_XATTR_UNITS:
            raise UnrepresentableError(f"{len(body)} bytes of extended attributes")
        return body


def xattr_units(body: bytes) -> int:
    """What an inode says of the size of what ``dump`` gave (``i_xattr_icount``)."""
    return (len(body) - XATTR_HEADER.size) // XATTR_UNIT_BYTES + 1 if body else 0


def _dump_entries(xattrs: Mapping[bytes, bytes]) -> list[bytes]:
    entries = []
    for full_name, value in sorted(xattrs.items()):
        namespace, dot, name = full_name.partition(b".")
        index = XATTR_PREFIXES.get(namespace + dot)
        if full_name in XATTR_ACLS:
            entries.append(_dump_acl(XATTR_ACLS[full_name], value))
        elif index is not None and name:
            entries.append(_dump_entry(index, name, value))
    return entries


def _dump_acl(index: int, value: bytes) -> bytes:
    if value[:4] != _ACL_VERSION or len(value) % _ACL_ENTRY_BYTES != len(_ACL_VERSION):
        raise UnrepresentableError("an access control list that is none")
    return _dump_entry(index, b"", value)


def _dump_entry(index: int, name: bytes, value: bytes) -> bytes:
    if len(name) > _MAX_NAME_BYTES or len(value) > _MAX_VALUE_BYTES:
        raise UnrepresentableError(f"an attribute {name[:40]!r} of {len(value)} bytes")
    entry = XATTR_ENTRY.pack(len(name), index, len(value)) + name + value
    return entry + bytes(-len(entry) % XATTR_UNIT_BYTES)
