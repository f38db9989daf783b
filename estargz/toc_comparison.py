"""Whether a TOC and a tar describe the same files. No I/O.

What a lazy mount shows comes from the TOC, what a full pull unpacks from the tar; nothing in the format keeps the two
from being different images. Both are reduced to what containers can see of a file, and compared by path.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Final

from estargz.file_chunks import ListedFile
from estargz.tar_stream import Span, TarEntry, clean_name, read_content
from estargz.toc import NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TocEntry

_LANDMARKS: Final = frozenset({PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK})
_MODE_BITS: Final = 0o7777
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Go's zero time; writers leave it out of the TOC, and readers show it as the epoch.
_YEAR_ONE: Final = -62135596800


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with one entry; an empty name stands for the layer."""

    entry: str
    what: str


def compare_toc(files: Iterable[ListedFile], tar: Sequence[TarEntry]) -> Iterator[Difference]:
    """What differs between a TOC's files and a tar's entries, headers only.

    Args:
        files: of the TOC.
        tar: what of the tar counts, see ``tar_stream.read_entries``.
    """
    listed = {clean_name(file.entry.name): file.entry for file in files}
    for name in _LANDMARKS:
        listed.pop(name, None)
    in_tar = {clean_name(entry.name): entry for entry in tar}
    for name in in_tar.keys() - listed.keys():
        yield Difference(in_tar[name].name, "it is in the tar, but not in the TOC")
    for name, entry in listed.items():
        if name in in_tar:
            for what, toc_says, tar_says in _compare(entry, in_tar[name]):
                yield Difference(
                    entry.name, f"{what}: {toc_says} in the TOC, {tar_says} in the tar"
                )
        else:
            yield Difference(entry.name, "it is in the TOC, but not in the tar")


def compare_content(
    files: Iterable[ListedFile], tar: memoryview, entries: Sequence[TarEntry]
) -> Iterator[Difference]:
    """Which files have other content in the tar than their chunks' digests, or the file's, say."""
    in_tar = {clean_name(entry.name): entry for entry in entries}
    for file in files:
        entry = in_tar.get(clean_name(file.entry.name))
        if entry is None or entry.type != "reg" or entry.size != file.entry.size:
            continue
        whole = hashlib.sha256()
        for chunk in file.chunks:
            end = chunk.file_offset + chunk.size
            content = read_content(tar, entry, Span(chunk.file_offset, end))
            if not chunk.digest.matches(content):
                place = f"the chunk at {chunk.file_offset}"
                yield Difference(entry.name, f"{place} has another digest in the tar")
            whole.update(content)
        if file.entry.digest not in {"", f"sha256:{whole.hexdigest()}"}:
            yield Difference(entry.name, "the TOC's digest of the whole file is not the tar's")


def _compare(toc: TocEntry, tar: TarEntry) -> Iterator[tuple[str, object, object]]:
    if toc.type != tar.type:
        yield "type", toc.type, tar.type
        return
    pairs: Mapping[str, tuple[object, object]] = {
        "size": (toc.size, tar.size),
        "mode": (oct(toc.mode & _MODE_BITS), oct(tar.mode & _MODE_BITS)),
        "owner": (toc.uid, tar.uid),
        "group": (toc.gid, tar.gid),
        "link target": (_target(toc.type, toc.link_name), _target(tar.type, tar.link_name)),
        "device": ((toc.dev_major, toc.dev_minor), (tar.dev_major, tar.dev_minor)),
        "extended attributes": (dict(toc.xattrs), dict(tar.xattrs)),
    }
    for what, (toc_says, tar_says) in pairs.items():
        if toc_says != tar_says:
            yield what, toc_says, tar_says
    if _seconds(toc.modtime) not in _possible_seconds(tar.mtime):
        yield "modification time", toc.modtime or "none", tar.mtime


def _target(kind: str, text: str) -> str:
    return clean_name(text) if kind == "hardlink" else text


def _seconds(modtime: str) -> int | None:
    if not modtime:
        return 0
    try:
        moment = datetime.fromisoformat(modtime)
        return (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, TypeError, OverflowError):
        return None


def _possible_seconds(mtime: float) -> frozenset[int]:
    """Writers round to seconds, or cut."""
    return frozenset(
        0 if second == _YEAR_ONE else second for second in (floor(mtime), floor(mtime + 0.5))
    )
