"""From tar entries to TOC entries: what of a header goes into the TOC, and how a file is cut into chunks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import floor

import msgspec

from estargz.errors import UnsupportedTarError
from estargz.tar_stream import Span, TarEntry
from estargz.toc import TocEntry
from registry.digest import Digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What Go calls the zero time, found in images of some builders; readers show it as the epoch.
_YEAR_ONE = -62135596800
_MODE_BITS = 0o7777


@dataclass(slots=True)
class OwnerNames:
    """Remembers which names a reader of the TOC has seen, so that only news is written."""

    users: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)


def make_toc_entry(entry: TarEntry, owners: OwnerNames) -> TocEntry:
    """The TOC entry of a tar entry, but for what is known only after compression.

    Raises:
        UnsupportedTarError: its modification time cannot be written.
    """
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


def cut_into_chunks(first: TocEntry, *, chunk_bytes: int) -> Iterator[tuple[Span, TocEntry]]:
    """The chunks of a file: which part of the file each one is, and its TOC entry; the first's is the file's own.

    ``chunkSize`` is left out where it is what remains and less than a whole one.
    """
    for offset in range(0, first.size, chunk_bytes):
        remaining = first.size - offset
        size = chunk_bytes if remaining >= chunk_bytes else 0
        if offset:
            entry = TocEntry(name=first.name, type="chunk", chunk_offset=offset, chunk_size=size)
        else:
            entry = msgspec.structs.replace(first, chunk_size=size)
        yield Span(offset, offset + (size or remaining)), entry


def _news(known: dict[int, str], number: int, name: str) -> str:
    if not name or known.get(number) == name:
        return ""
    known[number] = name
    return name


def _modtime(entry: TarEntry) -> str:
    try:
        if floor(entry.mtime) in {0, _YEAR_ONE}:
            return ""
        moment = _EPOCH + timedelta(seconds=floor(entry.mtime + 0.5))
    except (OverflowError, ValueError) as error:
        reason = f"its modification time, {entry.mtime}, is not in the years 1 to 9999"
        raise UnsupportedTarError(entry.name, reason) from error
    return moment.isoformat().replace("+00:00", "Z")
