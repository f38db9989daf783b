"""The table of contents (TOC): one JSON document that indexes a layer.

Field names and rules: eStargz specification, "TOC"; ``TocEntry`` spells them in Python and maps
back. Nothing here interprets paths or builds a tree: see ``fs.inodes``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Literal, overload

import msgspec

from estargz.errors import TocError

TOC_NAME = "stargz.index.json"
TOC_VERSION = 1
PREFETCH_LANDMARK = ".prefetch.landmark"
NO_PREFETCH_LANDMARK = ".no.prefetch.landmark"
LANDMARK_CONTENT = b"\x0f"
TOC_DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest"
UNCOMPRESSED_SIZE_ANNOTATION = "io.containers.estargz.uncompressed-size"
LAYER_DIGEST_ANNOTATION = "containerd.io/snapshot/stargz/layer.digest"
ZSTD_CHECKSUM_ANNOTATION = "io.containers.zstd-chunked.manifest-checksum"
ZSTD_POSITION_ANNOTATION = "io.containers.zstd-chunked.manifest-position"


class TocEntry(msgspec.Struct, rename="camel", omit_defaults=True, gc=False, kw_only=True):
    """One entry of a TOC, as stored: a file, or a further chunk of the file before it.

    ``chunk_type`` is known to podman's and CRI-O's writers alone. Chunks of zeros are in the blob like all others, so
    readers may ignore it; a type that is not known here may mean anything, and is refused.
    """

    name: str
    type: str
    size: int = 0
    modtime: str = ""
    link_name: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    user_name: str = ""
    group_name: str = ""
    offset: int = 0
    dev_major: int = 0
    dev_minor: int = 0
    xattrs: dict[str, bytes] = {}
    digest: str = ""
    chunk_offset: int = 0
    chunk_size: int = 0
    chunk_digest: str = ""
    inner_offset: int = 0
    chunk_type: Literal["", "zeros"] = ""


class StoredEntries(Sequence[TocEntry]):
    """Entries as they stand in a TOC's JSON: each is made when it is asked for, and nobody keeps it.

    A hundred thousand ``TocEntry`` take 80 MB, and most are looked at once. Who wants to change one makes a list.
    """

    def __init__(self, stored: Sequence[msgspec.Raw]) -> None:
        self._stored = stored

    def __repr__(self) -> str:
        return f"<StoredEntries {len(self)}>"

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[TocEntry]:
        return map(_ENTRY_DECODER.decode, self._stored)

    @overload
    def __getitem__(self, index: int) -> TocEntry: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredEntries": ...

    def __getitem__(self, index: int | slice) -> "TocEntry | StoredEntries":
        if isinstance(index, slice):
            return StoredEntries(self._stored[index])
        return _ENTRY_DECODER.decode(self._stored[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment] # like a list


class Toc(msgspec.Struct, gc=False):
    """A whole TOC; entries in the order of the tar."""

    version: int = TOC_VERSION
    entries: Sequence[TocEntry] = []

    def files(self) -> Iterator[list[TocEntry]]:
        """Each file's entry, and behind it those of its further chunks. A chunk that follows no file begins a list, too."""
        pieces: list[TocEntry] = []
        for entry in self.entries:
            if pieces and entry.type != "chunk":
                yield pieces
                pieces = []
            pieces.append(entry)
        if pieces:
            yield pieces


class _StoredToc(msgspec.Struct, gc=False):
    """A TOC whose entries are found, but not read yet."""

    version: int = TOC_VERSION
    entries: list[msgspec.Raw] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class TocLimits:
    """How much of a TOC is believed; beyond, the layer is refused."""

    max_toc_bytes: int = 512 << 20
    max_entries: int = 4_000_000
    max_path_bytes: int = 4095
    max_depth: int = 2048
    max_chunk_bytes: int = 256 << 20
    max_content_bytes: int = 1 << 44


_DECODER = msgspec.json.Decoder(_StoredToc)
_ENTRY_DECODER = msgspec.json.Decoder(TocEntry)


def parse_toc(raw: bytes, *, limits: TocLimits | None = None) -> Toc:
    """Reads a TOC's JSON. Its entries are checked here, and read again each time they are asked for.

    Raises:
        TocError: it is not JSON, a field has the wrong type, or there is more than ``limits`` allow.
    """
    limits = limits or TocLimits()
    _limit_objects(raw, limits)
    try:
        stored = _DECODER.decode(raw)
        for position, entry in enumerate(stored.entries):
            _check_entry(position, entry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TocError("", str(error)) from error
    except RecursionError as error:
        raise TocError("", "its JSON is nested too deeply") from error
    if len(stored.entries) > limits.max_entries:
        raise TocError("", f"{len(stored.entries)} entries, at most {limits.max_entries} are read")
    return Toc(stored.version, StoredEntries(stored.entries))


def _check_entry(position: int, stored: msgspec.Raw) -> None:
    try:
        _ENTRY_DECODER.decode(stored)
    except msgspec.MsgspecError as error:
        raise TocError("", f"entry {position}: {error}") from error


def _limit_objects(raw: bytes, limits: TocLimits) -> None:
    """Refuses what would take absurd amounts of memory, before anything is made of it."""
    if len(raw) > limits.max_toc_bytes:
        raise TocError("", f"{len(raw)} bytes, more than {limits.max_toc_bytes} are not read")
    # An entry is an object with at most one object in it; names seldom contain braces.
    most = 2 * limits.max_entries + 2
    if len(raw) > most and raw.count(b"{") > most:
        raise TocError(
            "", f"more than {most} braces, at most {limits.max_entries} entries are read"
        )


def dump_toc(toc: Toc) -> bytes:
    """The JSON of a TOC; the same TOC always gives the same bytes."""
    return msgspec.json.encode(toc, enc_hook=list)
