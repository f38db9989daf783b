"""Opening a layer without doing the I/O: a generator that asks for bytes until it has the TOC.

    found = yield from open_layer(...)      # or drive it: next(), then send() a Piece for each request

One request is enough for almost every layer: the blob's tail brings footer and TOC together, and the
answer's ``Content-Range`` brings the blob's size.
"""

import io
import tarfile
from collections.abc import Generator
from dataclasses import dataclass

from estargz.errors import CorruptMemberError, DigestMismatchError, NotEstargzError, TocError
from estargz.footer import FOOTER_BYTES, parse_footer
from estargz.members import inflate_all
from estargz.toc import TOC_NAME, TocLimits
from registry.digest import Digest

DEFAULT_TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class TailRequest:
    """The last ``length`` bytes of the blob are wanted; all of it, if it is shorter."""

    length: int


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """``length`` bytes from ``start`` on are wanted."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The answer to a request: bytes of the blob, where they begin, and the whole blob's size."""

    start: int
    data: bytes
    blob_bytes: int


@dataclass(frozen=True, slots=True)
class FoundToc:
    """The compressed TOC of a layer, not yet looked at."""

    compressed: bytes
    toc_offset: int
    blob_bytes: int


Opening = Generator[TailRequest | RangeRequest, Piece, FoundToc]


def open_layer(*, tail_bytes: int = DEFAULT_TAIL_BYTES, limits: TocLimits | None = None) -> Opening:
    """Asks for the pieces of a blob that hold its TOC.

    Raises:
        NotEstargzError: the blob has no footer.
        TocError: the footer points outside the blob, or the TOC is longer than ``limits`` allow.
    """
    limits = limits or TocLimits()
    tail = yield TailRequest(tail_bytes)
    toc_offset = parse_footer(tail.data).toc_offset
    toc_end = tail.blob_bytes - FOOTER_BYTES
    if not 0 <= toc_offset < toc_end:
        raise TocError("", f"the footer places it at {toc_offset}, the blob has {tail.blob_bytes}")
    if toc_end - toc_offset > limits.max_toc_bytes:
        raise TocError("", f"{toc_end - toc_offset} compressed bytes are more than is read")
    compressed = tail.data[max(toc_offset - tail.start, 0) : -FOOTER_BYTES]
    if toc_offset < tail.start:
        head = yield RangeRequest(toc_offset, tail.start - toc_offset)
        compressed = head.data + compressed
    return FoundToc(compressed, toc_offset, tail.blob_bytes)


def extract_toc(found: FoundToc, *, expected: Digest, limits: TocLimits | None = None) -> bytes:
    """Decompresses a TOC and checks it against the digest that the manifest pins.

    Returns:
        The raw JSON. It costs CPU in proportion to its size: call it in a thread.

    Raises:
        NotEstargzError: there is no TOC where the footer says.
        TocError: it is larger than ``limits`` allow.
        DigestMismatchError: it is not the pinned one.
    """
    limits = limits or TocLimits()
    try:
        content = inflate_all(
            found.compressed, max_bytes=limits.max_toc_bytes, blob_offset=found.toc_offset
        )
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            member = tar.next()
            if member is None or member.name != TOC_NAME or not member.isreg():
                raise NotEstargzError(f"no {TOC_NAME} where the footer says")
            raw = content[member.offset_data : member.offset_data + member.size]
    except (CorruptMemberError, tarfile.TarError, ValueError, RecursionError) as error:
        raise TocError("", f"it cannot be unpacked: {error}") from error
    actual = Digest.of(raw)
    if actual != expected:
        raise DigestMismatchError("the layer's TOC", expected=expected, actual=actual)
    return raw
