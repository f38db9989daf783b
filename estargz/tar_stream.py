"""The entries of a layer's tar, with the place of every byte of them.

``tarfile`` reads the logical header; the raw header, with all extension headers before it, is only
located, so that a writer can copy it verbatim and lose nothing. The tar is a buffer (usually a mapped
file): entries hold positions, not bytes.

Files that are stored sparse are given as if they had been stored in full: no reader of a TOC knows holes. Their
headers are the only ones that are written anew.

A PAX *global* header is copied like everything else, but does not change the entries after it: that is
how container runtimes unpack layers, and a lazily mounted layer must look like an unpacked one.
"""

import posixpath
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

from estargz.errors import UnsupportedTarError
from estargz.sparse_files import (
    SPARSE_PREFIX,
    Extent,
    full_header,
    read_sparse,
    sparse_extents,
)
from estargz.toc import NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME

_XATTR_PREFIX = "SCHILY.xattr."
_OWN_NAMES = frozenset({TOC_NAME, PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK})
# The Go reader has the same limit for one extension header; nothing real comes near it.
_MAX_READ_BYTES = 1 << 20
_MAX_NUMBER = (1 << 32) - 1
_TYPES = {
    tarfile.REGTYPE: "reg",
    tarfile.AREGTYPE: "reg",
    tarfile.LNKTYPE: "hardlink",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.DIRTYPE: "dir",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes of the tar: ``start`` included, ``end`` not."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """One entry: what its header says, and where its bytes are.

    ``headers`` are the header bytes in order: normally one span, more when the entry inherits global
    headers from entries that were dropped before it. ``content`` is what is stored, without the padding to the
    next block. Only a sparse file has ``extents``, and a ``new_header`` in place of its own.
    """

    name: str
    type: str
    size: int
    mode: int
    uid: int
    gid: int
    user_name: str
    group_name: str
    mtime: float
    link_name: str
    dev_major: int
    dev_minor: int
    xattrs: Mapping[str, bytes]
    headers: tuple[Span, ...]
    content: Span
    new_header: bytes = b""
    extents: tuple[Extent, ...] | None = None

    @property
    def padded_end(self) -> int:
        """Where the next entry's headers begin."""
        return self.content.start + _blocks(self.content.end - self.content.start)


class TarBytes(Protocol):
    """An uncompressed tar whose headers are looked for: a buffer, or whatever gives slices as one does."""

    def __getitem__(self, part: slice, /) -> bytes | memoryview:
        """These bytes, or fewer where the tar ends."""


def clean_name(name: str) -> str:
    """The path that a tar name stands for: relative, without ``.`` and ``..``, empty for the root."""
    return posixpath.normpath("/" + name).lstrip("/")


def read_content(tar: memoryview, entry: TarEntry, part: Span) -> memoryview:
    """A part of a file's content: a slice of the tar; of a sparse file, a copy."""
    if entry.extents is not None:
        return read_sparse(tar, entry.extents, start=part.start, end=part.end)
    return tar[entry.content.start + part.start : entry.content.start + part.end]


def read_all_entries(tar: TarBytes) -> list[TarEntry]:
    """Lists all entries of a tar that must not be changed by a single byte.

    Raises:
        UnsupportedTarError: the tar is damaged, an entry cannot be represented, or only in another tar.
    """
    entries = list(_parse(tar))
    for entry in entries:
        if entry.extents is not None:
            reason = "it is stored sparse, and a TOC cannot describe holes"
            raise UnsupportedTarError(entry.name, reason)
        if clean_name(entry.name) == TOC_NAME:
            raise UnsupportedTarError(entry.name, "the tar was made by an earlier conversion")
    return entries


def read_entries(tar: TarBytes) -> list[TarEntry]:
    """Lists the entries of an uncompressed tar that a converted layer keeps, in order.

    Dropped are landmarks and TOCs of an earlier conversion, and every entry whose path occurs again
    later: the last one wins.

    Raises:
        UnsupportedTarError: the tar is damaged, or an entry cannot be represented.
    """
    entries = list(_parse(tar))
    last = {clean_name(entry.name): position for position, entry in enumerate(entries)}
    kept = {position for name, position in last.items() if name not in _OWN_NAMES}
    return list(_without_dropped(entries, kept))


def _without_dropped(entries: Iterable[TarEntry], kept: set[int]) -> Iterator[TarEntry]:
    inherited: tuple[Span, ...] = ()
    for position, entry in enumerate(entries):
        if position not in kept:
            inherited += entry.headers if entry.new_header else entry.headers[:-1]
        else:
            yield replace(entry, headers=inherited + entry.headers) if inherited else entry
            inherited = ()


class _TarView:
    """What ``tarfile`` needs of a file, over a buffer, refusing to read headers of absurd length."""

    def __init__(self, tar: TarBytes) -> None:
        self._tar = tar
        self._position = 0

    def read(self, size: int) -> bytes:
        if size > _MAX_READ_BYTES:
            raise tarfile.ReadError(f"an extension header of {size} bytes")
        data = bytes(self._tar[self._position : self._position + size])
        self._position += len(data)
        return data

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def tell(self) -> int:
        return self._position


class _IgnoredGlobals(dict[str, str]):
    """Takes the place of the global PAX headers that ``tarfile`` would apply to what follows."""

    def __setitem__(self, keyword: str, value: str) -> None:
        pass


class _Archive(Protocol):
    """What ``tarfile`` knows and its stubs do not: where the next header is."""

    offset: int


def _parse(tar: TarBytes) -> Iterator[TarEntry]:
    if not tar[:1]:
        return
    name = "(the first)"
    try:
        # "_TarView" has the three methods that reading uses.
        with tarfile.open(
            fileobj=_TarView(tar),  # type: ignore[call-overload]
            mode="r:",
            encoding="utf-8",
            errors="surrogateescape",
            pax_headers=_IgnoredGlobals(),
        ) as archive:
            end = 0
            while (info := archive.next()) is not None:
                archive.members.clear()
                name = info.name
                entry = _entry(info, previous_end=end)
                end = entry.padded_end
                if entry.extents is not None and end != cast("_Archive", archive).offset:
                    raise UnsupportedTarError(name, "its map of holes contradicts its size")
                yield entry
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise UnsupportedTarError(
            name, f"the tar is damaged there or behind it: {error}"
        ) from error
    # tarfile takes a damaged header for the end, which would lose all that follows.
    if any(tar[end : end + tarfile.BLOCKSIZE]):
        raise UnsupportedTarError(name, f"what follows it, at byte {end} of the tar, is no header")


def _entry(info: tarfile.TarInfo, *, previous_end: int) -> TarEntry:
    # Whichever record comes last wins with tarfile; "path" is a made-up name for those who do not know sparse files.
    info.name = info.pax_headers.get(f"{SPARSE_PREFIX}name", info.name)
    _refuse_unrepresentable(info)
    kind = "reg" if info.issparse() else _TYPES[info.type]
    size = info.size if kind == "reg" else 0
    headers: tuple[Span, ...] = ()
    if info.offset > previous_end:
        headers = (Span(previous_end, info.offset),)
    content = Span(info.offset_data, info.offset_data + size)
    extents = None
    if info.issparse():
        extents = sparse_extents(info)
        stored = sum(extent.size for extent in extents)
        content = Span(info.offset_data, info.offset_data + stored)
    else:
        headers += (Span(info.offset, info.offset_data),)
    return TarEntry(
        name=info.name + "/" if kind == "dir" else info.name,
        type=kind,
        size=size,
        mode=info.mode,
        uid=info.uid,
        gid=info.gid,
        user_name=_printable(info.uname),
        group_name=_printable(info.gname),
        mtime=info.mtime,
        link_name=info.linkname if kind in {"symlink", "hardlink"} else "",
        dev_major=info.devmajor if kind in {"char", "block"} else 0,
        dev_minor=info.devminor if kind in {"char", "block"} else 0,
        xattrs=_xattrs(info),
        headers=headers,
        new_header=b"" if extents is None else full_header(info),
        content=content,
        extents=extents,
    )


def _refuse_unrepresentable(info: tarfile.TarInfo) -> None:
    if not info.issparse() and any(key.startswith(SPARSE_PREFIX) for key in info.pax_headers):
        raise UnsupportedTarError(info.name, "it is stored sparse in a way that is not known")
    if info.type not in _TYPES and not info.issparse():
        kind = info.type.decode("ascii", "backslashreplace")
        raise UnsupportedTarError(info.name, f"entries of type {kind!r} have no place in a layer")
    for text, what in ((info.name, "name"), (info.linkname, "link target")):
        if not _is_utf8(text):
            reason = f"its {what} is not UTF-8, which a TOC cannot hold; rename it in the image"
            raise UnsupportedTarError(info.name, reason)
        if "\0" in text:
            raise UnsupportedTarError(info.name, f"its {what} contains a NUL byte")
    _refuse_absurd_numbers(info)


def _refuse_absurd_numbers(info: tarfile.TarInfo) -> None:
    if info.size < 0:
        raise UnsupportedTarError(info.name, f"its size is {info.size}")
    for number in (info.uid, info.gid, info.devmajor, info.devminor):
        if not 0 <= number <= _MAX_NUMBER:
            raise UnsupportedTarError(info.name, f"its owner or device number {number} is absurd")


def _xattrs(info: tarfile.TarInfo) -> dict[str, bytes]:
    """The extended attributes, bit-exact.

    ``tarfile`` decodes values as UTF-8 and, where they are not, with ``surrogateescape``; encoding the
    same way gives back the original bytes in both cases.
    """
    xattrs = {}
    for keyword, value in info.pax_headers.items():
        if keyword.startswith(_XATTR_PREFIX):
            name = keyword.removeprefix(_XATTR_PREFIX)
            if not _is_utf8(name):
                raise UnsupportedTarError(
                    info.name, f"its extended attribute {name!r} is not UTF-8"
                )
            xattrs[name] = value.encode("utf-8", "surrogateescape")
    return xattrs


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(owner: str) -> str:
    """A user or group name; the odd byte is replaced, for these names are only informative."""
    return owner.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _blocks(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
