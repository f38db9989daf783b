"""Cutting a tar into members: which there are, and what goes into each.

A member begins with exactly one chunk of a file and ends before the next chunk: the padding behind the
chunk, and all headers, directories, links and empty files up to the next content, lie at its end. The
first member has only headers.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import floor

import msgspec

from estargz.errors import UnsupportedTarError
from estargz.tar_stream import Span, TarEntry
from estargz.toc import LANDMARK_CONTENT, NO_PREFETCH_LANDMARK, TocEntry
from registry.digest import Digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What Go calls the zero time, found in images of some builders; readers show it as the epoch.
_YEAR_ONE = -62135596800
_MODE_BITS = 0o7777
MAX_LEVEL = 12
MIN_CHUNK_BYTES = 4096
MAX_CHUNK_BYTES = 256 << 20
_USTAR_MAX_BYTES = (8 << 30) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterOptions:
    """How blobs are written. The level is libdeflate's, 1 (fast) to 12 (small)."""

    chunk_bytes: int = 4 << 20
    compression_level: int = 6

    def __post_init__(self) -> None:
        if not MIN_CHUNK_BYTES <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk size {self.chunk_bytes} is not in 4096..{MAX_CHUNK_BYTES}")
        if not 1 <= self.compression_level <= MAX_LEVEL:
            raise ValueError(f"compression level {self.compression_level} is not in 1..{MAX_LEVEL}")


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One member before compression.

    Attributes:
        pieces: its bytes, in order; the first ``chunk_bytes`` are a chunk of a file.
        chunk_bytes: 0 only for the first member, which has no chunk.
        toc: the TOC entries it completes; if there is a chunk, the first is the chunk's.
    """

    pieces: tuple[memoryview, ...]
    chunk_bytes: int
    toc: tuple[TocEntry, ...]


def plan_members(
    tar: memoryview, entries: Iterable[TarEntry], options: WriterOptions
) -> Iterator[MemberPlan]:
    """Cuts a tar into members, the landmark's first.

    Plans hold slices of ``tar``, not copies.

    Raises:
        UnsupportedTarError: an entry cannot be represented in a TOC.
    """
    owners = _OwnerNames()
    pending = _PendingMember()
    pending.add(memoryview(bare_header(NO_PREFETCH_LANDMARK, size=len(LANDMARK_CONTENT))))
    yield pending.take()
    pending.start_chunk(memoryview(LANDMARK_CONTENT), _landmark_entry())
    pending.add(memoryview(padding(len(LANDMARK_CONTENT))))
    for entry in entries:
        for span in entry.headers:
            pending.add_span(tar, span)
        toc_entry = _toc_entry(entry, owners)
        if not entry.size:
            pending.toc.append(toc_entry)
            continue
        for chunk, chunk_entry in _chunks(entry, toc_entry, options.chunk_bytes):
            yield pending.take()
            pending.start_chunk(tar[chunk.start : chunk.end], chunk_entry, start=chunk.start)
        pending.add_span(tar, Span(entry.content.end, entry.padded_end))
    yield pending.take()


def bare_header(name: str, *, size: int) -> bytes:
    """The tar header of an entry that the format itself adds: a regular file, owned by root, of no mode."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0
    return info.tobuf(tarfile.USTAR_FORMAT if size <= _USTAR_MAX_BYTES else tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """The zeros between content of this size and the next header."""
    return bytes(-size % tarfile.BLOCKSIZE)


class _PendingMember:
    """The member under construction; neighbouring bytes of the tar become one piece, not copied."""

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []
        self._chunk_bytes = 0
        self._tar_end = -1
        self.toc: list[TocEntry] = []

    def add(self, piece: memoryview) -> None:
        self._pieces.append(piece)
        self._tar_end = -1

    def add_span(self, tar: memoryview, span: Span) -> None:
        if span.start == span.end:
            return
        if span.start == self._tar_end:
            start = self._tar_end - self._pieces.pop().nbytes
        else:
            start = span.start
        self._pieces.append(tar[start : span.end])
        self._tar_end = span.end

    def start_chunk(self, chunk: memoryview, entry: TocEntry, *, start: int = -1) -> None:
        self._pieces = [chunk]
        self._chunk_bytes = chunk.nbytes
        self._tar_end = start + chunk.nbytes if start >= 0 else -1
        self.toc = [entry]

    def take(self) -> MemberPlan:
        return MemberPlan(tuple(self._pieces), self._chunk_bytes, tuple(self.toc))


@dataclass(slots=True)
class _OwnerNames:
    """Remembers which names a reader of the TOC has seen, so that only news is written."""

    users: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)


def _news(known: dict[int, str], number: int, name: str) -> str:
    if not name or known.get(number) == name:
        return ""
    known[number] = name
    return name


def _toc_entry(entry: TarEntry, owners: _OwnerNames) -> TocEntry:
    return TocEntry(
        name=entry.name,
        type=entry.type,
        size=entry.size,
        modtime=_modtime(entry),
        link_name=entry.link_name,
        mode=entry.mode & _MODE_BITS,
        uid=entry.uid,
        gid=entry.gid,
        user_name=_news(owners.users, entry.uid, entry.user_name),
        group_name=_news(owners.groups, entry.gid, entry.group_name),
        dev_major=entry.dev_major,
        dev_minor=entry.dev_minor,
        xattrs=dict(entry.xattrs),
        digest=str(Digest.of(b"")) if entry.type == "reg" and not entry.size else "",
    )


def _chunks(entry: TarEntry, first: TocEntry, chunk_bytes: int) -> Iterator[tuple[Span, TocEntry]]:
    """The chunks of a file. ``chunkSize`` is left out where it is what remains and less than a whole one."""
    for offset in range(0, entry.size, chunk_bytes):
        remaining = entry.size - offset
        start = entry.content.start + offset
        size = chunk_bytes if remaining >= chunk_bytes else 0
        if offset:
            toc_entry = TocEntry(
                name=first.name, type="chunk", chunk_offset=offset, chunk_size=size
            )
        else:
            toc_entry = msgspec.structs.replace(first, chunk_size=size)
        yield Span(start, start + (size or remaining)), toc_entry


def _modtime(entry: TarEntry) -> str:
    try:
        if floor(entry.mtime) in {0, _YEAR_ONE}:
            return ""
        moment = _EPOCH + timedelta(seconds=floor(entry.mtime + 0.5))
    except (OverflowError, ValueError) as error:
        reason = f"its modification time, {entry.mtime}, is not in the years 1 to 9999"
        raise UnsupportedTarError(entry.name, reason) from error
    return moment.isoformat().replace("+00:00", "Z")


def _landmark_entry() -> TocEntry:
    return TocEntry(name=NO_PREFETCH_LANDMARK, type="reg", size=len(LANDMARK_CONTENT))
