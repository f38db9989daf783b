"""Cutting a tar into members: which there are, and what goes into each.

A member begins with a chunk of a file and ends before the first chunk of the next member: the padding behind chunks, and all
headers, directories, links and empty files up to the next content, lie at its end. The first member has only headers.

Normally every chunk begins a member. With a minimal size, members are filled up with further chunks until they are about as
large as asked for. How large they become is known only when they are compressed, which happens later and in other
threads; so it is estimated, from the start of each chunk. The estimate depends on nothing but the tar, and so do the members.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import deflate

from estargz.codec import Codec
from estargz.ordering import EntryOrder, PrefetchList, order_entries
from estargz.tar_stream import (
    Span,
    TarBytes,
    TarEntry,
    read_all_entries,
    read_content,
    read_entries,
)
from estargz.toc import (
    LANDMARK_CONTENT,
    NO_PREFETCH_LANDMARK,
    PREFETCH_LANDMARK,
    TocEntry,
)
from estargz.toc_entries import OwnerNames, cut_into_chunks, make_toc_entry

MAX_LEVEL = 12
MAX_ZSTD_LEVEL = 22
MIN_CHUNK_BYTES = 4096
MAX_CHUNK_BYTES = 256 << 20
MAX_MIN_CHUNK_BYTES = 32 << 20
END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_USTAR_MAX_BYTES = (8 << 30) - 1
# Estimates: how much of a chunk stands for all of it, and what a header takes.
_SAMPLE_BYTES = 8192
_HEADER_BYTES = 100
# Who reads a small file out of a large member decompresses what is before it.
_MAX_RATIO = 8


class BlobLayout(StrEnum):
    """What a blob holds beside the entries of the tar, and where its TOC is.

    Attributes:
        COMPLETE: a landmark, and the TOC: in the tar, or, with zstd, in a frame of its own.
        EXTERNAL_TOC: a landmark; the TOC is kept in another image. Only with gzip.
        LOSSLESS: the tar as it was, bit for bit; the TOC is kept in another image, or, with zstd, in a frame of its own.
    """

    COMPLETE = "complete"
    EXTERNAL_TOC = "external-toc"
    LOSSLESS = "lossless"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterOptions:
    """How a blob is written.

    Attributes:
        chunk_bytes: files are cut into chunks of this size.
        min_chunk_bytes: chunks share a member until it has about this size, compressed; 0 gives each its own.
        codec: what members are compressed with.
        compression_level: libdeflate's, 1 (fast) to 12 (small), or zstd's, 1 to 22.
        layout: what the blob holds.
        prefetch: what comes first; None writes the mark that nothing does.
    """

    chunk_bytes: int = 4 << 20
    min_chunk_bytes: int = 0
    codec: Codec = Codec.GZIP
    compression_level: int = 6
    layout: BlobLayout = BlobLayout.COMPLETE
    prefetch: PrefetchList | None = None

    def __post_init__(self) -> None:
        if not MIN_CHUNK_BYTES <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk size {self.chunk_bytes} is not in 4096..{MAX_CHUNK_BYTES}")
        if not 0 <= self.min_chunk_bytes <= MAX_MIN_CHUNK_BYTES:
            most = MAX_MIN_CHUNK_BYTES
            raise ValueError(f"minimal chunk size {self.min_chunk_bytes} is not in 0..{most}")
        highest = MAX_LEVEL if self.codec is Codec.GZIP else MAX_ZSTD_LEVEL
        if not 1 <= self.compression_level <= highest:
            raise ValueError(f"compression level {self.compression_level} is not in 1..{highest}")
        if self.layout is BlobLayout.EXTERNAL_TOC and self.codec is Codec.ZSTD:
            raise ValueError("a zstd:chunked blob always has its TOC inside")
        if self.layout is BlobLayout.LOSSLESS and self.prefetch is not None:
            raise ValueError("a tar that is kept bit for bit cannot be reordered")

    @property
    def has_toc_in_tar(self) -> bool:
        """Whether the TOC is the last entry of the tar."""
        return self.layout is BlobLayout.COMPLETE and self.codec is Codec.GZIP

    @property
    def makes_external_toc(self) -> bool:
        """Whether the blob is useless without a TOC image."""
        return self.layout is not BlobLayout.COMPLETE and self.codec is Codec.GZIP


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk of a member: its content, and which of the member's TOC entries describes it."""

    content: memoryview
    toc_position: int


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One member before compression.

    Attributes:
        pieces: its bytes, in order; unless ``chunks`` is empty they begin with the first chunk.
        chunks: the chunks in it; none only in the first member.
        toc: the TOC entries it completes, chunks and others, in order.
    """

    pieces: tuple[memoryview, ...]
    chunks: tuple[PlannedChunk, ...]
    toc: tuple[TocEntry, ...]

    @property
    def content_bytes(self) -> int:
        """How long it is before compression."""
        return sum(piece.nbytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """All members of a blob, to be taken once, and the paths that were to come first and are not in the layer."""

    members: Iterator[MemberPlan]
    missing: tuple[str, ...] = ()


def plan_layer(
    tar: memoryview, options: WriterOptions, *, headers: TarBytes | None = None
) -> LayerPlan:
    """Decides how an uncompressed tar becomes members.

    Args:
        tar: the tar; plans hold slices of it, not copies (but for sparse files).
        options: how to write.
        headers: another view of the same tar, which is scanned first; by default the same one.

    Raises:
        UnsupportedTarError: an entry cannot be represented in a TOC; also while members are taken.
        ConversionError: what is to come first is not there, and may not be missing.
    """
    scanned = tar if headers is None else headers
    if options.layout is BlobLayout.LOSSLESS:
        return LayerPlan(_plan_lossless(tar, read_all_entries(scanned), options))
    entries = read_entries(scanned)
    order = EntryOrder((), tuple(entries))
    if options.prefetch is not None:
        order = order_entries(entries, options.prefetch)
    return LayerPlan(_plan_members(tar, order, options), order.missing)


def bare_header(name: str, *, size: int) -> bytes:
    """The tar header of an entry that the format itself adds: a regular file, owned by root, of no mode."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0
    return info.tobuf(tarfile.USTAR_FORMAT if size <= _USTAR_MAX_BYTES else tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """The zeros between content of this size and the next header."""
    return bytes(-size % tarfile.BLOCKSIZE)


def _plan_members(
    tar: memoryview, order: EntryOrder, options: WriterOptions
) -> Iterator[MemberPlan]:
    planner = _Planner(tar, options)
    for entry in order.first:
        yield from planner.add_entry(entry)
    landmark = NO_PREFETCH_LANDMARK if options.prefetch is None else PREFETCH_LANDMARK
    yield from planner.add_landmark(landmark)
    for entry in order.rest:
        yield from planner.add_entry(entry)
    if not options.has_toc_in_tar:
        planner.member.add(memoryview(END_OF_TAR))
    yield planner.member.take()


def _plan_lossless(
    tar: memoryview, entries: Iterable[TarEntry], options: WriterOptions
) -> Iterator[MemberPlan]:
    """Members that together are the tar, whatever it has between and behind its entries."""
    planner = _Planner(tar, options)
    end = 0
    for entry in entries:
        planner.member.add_span(tar, Span(end, entry.content.start))
        yield from planner.add_content(entry)
        end = entry.content.end
    planner.member.add_span(tar, Span(end, tar.nbytes))
    yield planner.member.take()


class _Planner:
    """Adds entries to members, and gives away those that are full."""

    def __init__(self, tar: memoryview, options: WriterOptions) -> None:
        self._tar = tar
        self._chunk_bytes = options.chunk_bytes
        self._owners = OwnerNames()
        self.member = _PendingMember(options)

    def add_entry(self, entry: TarEntry) -> Iterator[MemberPlan]:
        for header in entry.headers:
            self.member.add_span(self._tar, header)
        if entry.new_header:
            self.member.add(memoryview(entry.new_header))
        yield from self.add_content(entry)
        if entry.extents is None:
            self.member.add_span(self._tar, Span(entry.content.end, entry.padded_end))
        else:
            self.member.add(memoryview(padding(entry.size)))

    def add_content(self, entry: TarEntry) -> Iterator[MemberPlan]:
        toc_entry = make_toc_entry(entry, self._owners)
        if not entry.size:
            self.member.toc.append(toc_entry)
            return
        for part, chunk in cut_into_chunks(toc_entry, chunk_bytes=self._chunk_bytes):
            if self.member.is_full:
                yield self.member.take()
            content = read_content(self._tar, entry, part)
            self.member.add_chunk(content, chunk)
            if entry.extents is None:
                start = entry.content.start + part.start
                self.member.add_span(self._tar, Span(start, start + content.nbytes))
            else:
                self.member.add(content)

    def add_landmark(self, name: str) -> Iterator[MemberPlan]:
        content = memoryview(LANDMARK_CONTENT)
        self.member.add(memoryview(bare_header(name, size=content.nbytes)))
        yield self.member.take()
        self.member.add_chunk(content, TocEntry(name=name, type="reg", size=content.nbytes))
        self.member.add(content)
        self.member.add(memoryview(padding(content.nbytes)))


class _PendingMember:
    """The member under construction; neighbouring bytes of the tar become one piece, not copied."""

    def __init__(self, options: WriterOptions) -> None:
        self._min_bytes = options.min_chunk_bytes
        self._max_content_bytes = max(options.chunk_bytes, _MAX_RATIO * options.min_chunk_bytes)
        self._clear()

    def _clear(self) -> None:
        self._pieces: list[memoryview] = []
        self._chunks: list[PlannedChunk] = []
        self._content_bytes = 0
        self._estimated_bytes = 0
        self._tar_end = -1
        self.toc: list[TocEntry] = []

    @property
    def is_full(self) -> bool:
        """Whether the next chunk begins another member. The first member has only headers."""
        return (
            not self._chunks
            or self._estimated_bytes >= self._min_bytes
            or self._content_bytes >= self._max_content_bytes
        )

    def add(self, piece: memoryview) -> None:
        self._pieces.append(piece)
        self._content_bytes += piece.nbytes
        self._tar_end = -1

    def add_span(self, tar: memoryview, span: Span) -> None:
        piece = tar[span.start : span.end]
        if not piece.nbytes:
            return
        self._content_bytes += piece.nbytes
        if span.start == self._tar_end:
            piece = tar[self._tar_end - self._pieces.pop().nbytes : span.end]
        self._pieces.append(piece)
        self._tar_end = span.end

    def add_chunk(self, content: memoryview, entry: TocEntry) -> None:
        """Notes that the bytes added next are a chunk."""
        entry.inner_offset = self._content_bytes
        self._chunks.append(PlannedChunk(content, len(self.toc)))
        self.toc.append(entry)
        if self._min_bytes:
            self._estimated_bytes += _compressed_estimate(content) + _HEADER_BYTES

    def take(self) -> MemberPlan:
        plan = MemberPlan(tuple(self._pieces), tuple(self._chunks), tuple(self.toc))
        self._clear()
        return plan


def _compressed_estimate(content: memoryview) -> int:
    """What a chunk will take: as its first bytes do at the fastest level, less what higher levels and a shared window save.

    That saving grows with how well content compresses: nothing for noise, half for what compresses to almost nothing. In
    integers, so that every machine comes to the same result.
    """
    size = min(content.nbytes, _SAMPLE_BYTES)
    compressed = len(deflate.deflate_compress(content[:size], 1))
    return content.nbytes * compressed * (size + compressed) // (2 * size * size)
