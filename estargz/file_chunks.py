"""Files and their chunks, as a TOC lists them: what may be believed of it before content is read.

A file's chunks must cover it from start to end, lie in the payload of the blob and have digests; anything
else is refused with the name of the entry. No tree is built: see ``image_tree`` for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from estargz.errors import TocError
from estargz.tar_stream import clean_name
from estargz.toc import Toc, TocEntry, TocLimits
from registry.digest import Digest
from registry.errors import InvalidDigestError

_TYPES: Final = frozenset({"dir", "reg", "symlink", "hardlink", "char", "block", "fifo"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChunk:
    """A piece of a file: its place in the file, in the blob, and in the decompressed member there."""

    file_offset: int
    size: int
    blob_offset: int
    inner_offset: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An entry of a TOC that is a file of its own, of any type, with its content's chunks in order."""

    entry: TocEntry
    chunks: tuple[FileChunk, ...]


def list_files(
    toc: Toc, *, payload_bytes: int, limits: TocLimits | None = None
) -> Iterator[ListedFile]:
    """All files of a TOC, in its order.

    Args:
        toc: the verified TOC.
        payload_bytes: where the content ends in the blob.
        limits: what is believed.

    Raises:
        TocError: an entry breaks a rule; it is named.
    """
    limits = limits or TocLimits()
    for pieces in toc.files():
        entry = pieces[0]
        if entry.type not in _TYPES:
            raise TocError(entry.name, f"unknown type {entry.type!r}, or a chunk without its file")
        if entry.type != "reg" and len(pieces) > 1:
            raise TocError(entry.name, f"a chunk of what is no regular file but {entry.type!r}")
        has_content = entry.type == "reg" and entry.size
        chunks = _chunks(entry, pieces if has_content else [], payload_bytes, limits)
        yield ListedFile(entry, chunks)


def check_toc(toc: Toc, *, payload_bytes: int, limits: TocLimits | None = None) -> None:
    """Checks all that can be checked of a TOC without the content.

    Raises:
        TocError: a file is not covered by its chunks, or a hard link has no target.
    """
    names = {clean_name(entry.name) for entry in toc.entries}
    for listed in list_files(toc, payload_bytes=payload_bytes, limits=limits):
        entry = listed.entry
        if entry.type == "hardlink" and clean_name(entry.link_name) not in names:
            raise TocError(entry.name, f"hard link to {entry.link_name!r}, which is not there")


def _chunks(
    entry: TocEntry, pieces: list[TocEntry], payload_bytes: int, limits: TocLimits
) -> tuple[FileChunk, ...]:
    chunks = []
    covered = 0
    for piece in pieces:
        size = piece.chunk_size or entry.size - piece.chunk_offset
        if piece.chunk_offset != covered:
            raise TocError(entry.name, f"a chunk at {piece.chunk_offset}, expected {covered}")
        if not 0 < size <= limits.max_chunk_bytes:
            raise TocError(entry.name, f"a chunk of {size} bytes")
        if not 0 <= piece.offset < payload_bytes:
            raise TocError(entry.name, f"offset {piece.offset}, content ends at {payload_bytes}")
        if not 0 <= piece.inner_offset <= limits.max_chunk_bytes:
            raise TocError(entry.name, f"inner offset {piece.inner_offset}")
        chunk = FileChunk(
            file_offset=covered,
            size=size,
            blob_offset=piece.offset,
            inner_offset=piece.inner_offset,
            digest=_digest(entry, piece),
        )
        chunks.append(chunk)
        covered += size
    if covered != entry.size * bool(pieces):
        raise TocError(entry.name, f"its chunks hold {covered} bytes of {entry.size}")
    return tuple(chunks)


def _digest(entry: TocEntry, piece: TocEntry) -> Digest:
    # Old TOCs of files in one piece have only the digest of the whole file.
    text = piece.chunk_digest or piece.digest
    try:
        digest = Digest.parse(text)
    except InvalidDigestError as error:
        reason = str(error) if text else "no digest is recorded for its content"
        raise TocError(entry.name, reason) from None
    if digest.algorithm != "sha256":
        raise TocError(entry.name, f"its digest is {digest.algorithm}, not sha256")
    return digest
