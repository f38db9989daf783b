"""The table of contents (TOC): one JSON document that indexes a layer.

Field names and rules: eStargz specification, "TOC"; ``TocEntry`` spells them in Python and maps
back. Nothing here interprets paths or builds a tree: see ``fs.inodes``.
"""

from dataclasses import dataclass
from typing import Literal

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


class Toc(msgspec.Struct, gc=False):
    """A whole TOC; entries in the order of the tar."""

    version: int = TOC_VERSION
    entries: list[TocEntry] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class TocLimits:
    """How much of a TOC is believed; beyond, the layer is refused."""

    max_toc_bytes: int = 512 << 20
    max_entries: int = 4_000_000
    max_path_bytes: int = 4095
    max_depth: int = 2048
    max_chunk_bytes: int = 256 << 20
    max_content_bytes: int = 1 << 44


_DECODER = msgspec.json.Decoder(Toc)


def parse_toc(raw: bytes, *, limits: TocLimits | None = None) -> Toc:
    """Reads a TOC's JSON.

    Raises:
        TocError: it is not JSON, a field has the wrong type, or there is more than ``limits`` allow.
    """
    limits = limits or TocLimits()
    _limit_objects(raw, limits)
    try:
        toc = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TocError("", str(error)) from error
    except RecursionError as error:
        raise TocError("", "its JSON is nested too deeply") from error
    if len(toc.entries) > limits.max_entries:
        raise TocError("", f"{len(toc.entries)} entries, at most {limits.max_entries} are read")
    return toc


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
    return msgspec.json.encode(toc)
