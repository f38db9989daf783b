"""Files that a tar stores without their holes: where the stored pieces belong, and the header they would have in full.

No reader of a TOC knows holes, so such files are converted as if they had been stored in full. All four
formats are read (GNU's old one, and 0.0, 0.1 and 1.0 in PAX records): ``tarfile`` reads their maps, which are checked here.
"""

import copy
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from estargz.errors import UnsupportedTarError

SPARSE_PREFIX = "GNU.sparse."
# What holes claim to be costs nothing to store, but must be compressed.
MAX_SPARSE_BYTES = 64 << 30
_REPLACED_RECORDS = frozenset({"path", "linkpath", "size"})


@dataclass(frozen=True, slots=True)
class Extent:
    """A stored piece: where in the file it begins, where in the tar, and how long it is."""

    file_offset: int
    tar_offset: int
    size: int


class _SparseInfo(Protocol):
    """What the stubs of ``tarfile`` do not say."""

    sparse: list[tuple[int, int]]


def sparse_extents(info: tarfile.TarInfo) -> tuple[Extent, ...]:
    """The stored pieces of a sparse file, in order.

    Raises:
        UnsupportedTarError: they overlap or lie outside the file, or the file is too large.
    """
    if info.size > MAX_SPARSE_BYTES:
        reason = f"it is sparse, and would take {info.size} bytes stored in full"
        raise UnsupportedTarError(info.name, reason)
    extents = []
    position, stored = 0, info.offset_data
    for offset, size in cast("_SparseInfo", info).sparse:
        if not size:
            continue
        if size < 0 or not position <= offset <= offset + size <= info.size:
            raise UnsupportedTarError(info.name, "its map of holes makes no sense")
        extents.append(Extent(offset, stored, size))
        position, stored = offset + size, stored + size
    return tuple(extents)


def full_header(info: tarfile.TarInfo) -> bytes:
    """The header of a sparse file as it would be if the file had been stored in full."""
    full = copy.copy(info)
    full.type = tarfile.REGTYPE
    full.pax_headers = {
        keyword: value
        for keyword, value in info.pax_headers.items()
        if not keyword.startswith(SPARSE_PREFIX) and keyword not in _REPLACED_RECORDS
    }
    return full.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def read_sparse(tar: memoryview, extents: Iterable[Extent], *, start: int, end: int) -> memoryview:
    """A part of a sparse file, with the zeros of its holes."""
    content = bytearray(end - start)
    for extent in extents:
        first = max(extent.file_offset, start)
        last = min(extent.file_offset + extent.size, end)
        if first < last:
            stored = extent.tar_offset + first - extent.file_offset
            content[first - start : last - start] = tar[stored : stored + last - first]
    return memoryview(content).toreadonly()
