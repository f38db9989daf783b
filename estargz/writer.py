"""Writing a blob: compressed members, put together with a TOC and a footer.

    assembler = BlobAssembler(options)
    for plan in plan_layer(tar, options).members:
        (member,) = compress_members([plan], options)               # in any thread, in any order
        output.write(member.data); assembler.append(member)         # in the order of the plans
    finished = assembler.finish()
    output.write(finished.tail)

Members depend on nothing but their plan, so the bytes of a blob are the same however many threads
compress it. They are compressed in one shot, by libdeflate, whose level 6 makes them as small as zlib's
level 9 does, or by zstd; ``benchmarks/compressors.py`` measures both.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import deflate
import msgspec
import zstandard

from estargz.codec import Codec
from estargz.footer import (
    FRAME_HEADER_BYTES,
    ExternalFooter,
    Footer,
    ZstdFooter,
    dump_footer,
    skippable_frame,
)
from estargz.planning import END_OF_TAR, MemberPlan, WriterOptions, bare_header, padding
from estargz.toc import (
    TOC_DIGEST_ANNOTATION,
    TOC_NAME,
    UNCOMPRESSED_SIZE_ANNOTATION,
    ZSTD_CHECKSUM_ANNOTATION,
    ZSTD_POSITION_ANNOTATION,
    Toc,
    TocEntry,
    dump_toc,
)
from registry.digest import Digest


@dataclass(frozen=True, slots=True)
class CompressedMember:
    """A member as it goes into the blob, and the digests of its chunks."""

    plan: MemberPlan
    data: bytes | bytearray
    chunk_digests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedBlob:
    """What ends a blob, and what is known of it then.

    Attributes:
        tail: is to be written after the last member.
        digest: of the blob.
        blob_bytes: its size.
        diff_id: digest of its content, a tar.
        uncompressed_bytes: size of the tar.
        toc_digest: digest of the TOC's JSON.
        toc_entries: how many entries it has.
        annotations: what the layer's descriptor must say, for readers to find and believe the TOC.
        external_toc: the compressed TOC, for ``toc_image``, if it is not in the blob; else empty.
        missing: paths that were to come first, but are not in the layer.
    """

    tail: bytes
    digest: Digest
    blob_bytes: int
    diff_id: Digest
    uncompressed_bytes: int
    toc_digest: Digest
    toc_entries: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    external_toc: bytes = b""
    missing: tuple[str, ...] = ()


def compress_members(plans: Iterable[MemberPlan], options: WriterOptions) -> list[CompressedMember]:
    """Compresses members and hashes their chunks; a pure function that releases the GIL."""
    compress = _compressor(options)
    return [_compress_member(plan, compress) for plan in plans]


def _compress_member(
    plan: MemberPlan, compress: Callable[[memoryview], bytes | bytearray]
) -> CompressedMember:
    content = plan.pieces[0] if len(plan.pieces) == 1 else memoryview(b"".join(plan.pieces))
    digests = tuple(f"sha256:{hashlib.sha256(c.content).hexdigest()}" for c in plan.chunks)
    return CompressedMember(plan, compress(content), digests)


def _compressor(options: WriterOptions) -> Callable[[bytes | memoryview], bytes | bytearray]:
    level = options.compression_level
    match options.codec:
        case Codec.GZIP:
            return lambda content: deflate.gzip_compress(content, level)
        case Codec.ZSTD:
            return zstandard.ZstdCompressor(level).compress
        case _:
            assert_never(options.codec)


@dataclass(frozen=True, slots=True)
class _Ending:
    """The end of a blob: its bytes, those of the tar that they hold, what they are annotated with, and a TOC apart."""

    tail: bytes
    tar: bytes = b""
    annotations: Mapping[str, str] = field(default_factory=dict)
    external_toc: bytes = b""


class BlobAssembler:
    """Puts members together: offsets, the TOC, and every digest of the blob, in one pass.

    It keeps the TOC in memory and no content.
    """

    def __init__(self, options: WriterOptions) -> None:
        self._options = options
        self._entries: list[TocEntry] = []
        self._blob_hash = hashlib.sha256()
        self._blob_bytes = 0
        self._tar_hash = hashlib.sha256()
        self._tar_bytes = 0
        self._file_hash = hashlib.sha256()
        self._file_position = 0

    def __repr__(self) -> str:
        return f"<BlobAssembler {len(self._entries)} entries, {self._blob_bytes} bytes>"

    def append(self, member: CompressedMember) -> None:
        """Takes the next member; they must come in the order of their plans."""
        plan = member.plan
        start = len(self._entries)
        self._entries.extend(plan.toc)
        for chunk, digest in zip(plan.chunks, member.chunk_digests, strict=True):
            position = start + chunk.toc_position
            self._entries[position] = msgspec.structs.replace(
                self._entries[position], offset=self._blob_bytes, chunk_digest=digest
            )
            self._add_to_file(position, chunk.content)
        self._count(member.data, plan.pieces)

    def finish(self) -> FinishedBlob:
        """Makes the TOC and the footer, and sums up. Nothing can be appended afterwards."""
        toc = dump_toc(Toc(entries=self._entries))
        ending = self._ending(toc)
        self._count(ending.tail, (memoryview(ending.tar),))
        common = {
            TOC_DIGEST_ANNOTATION: str(Digest.of(toc)),
            UNCOMPRESSED_SIZE_ANNOTATION: str(self._tar_bytes),
        }
        return FinishedBlob(
            tail=ending.tail,
            digest=Digest("sha256", self._blob_hash.hexdigest()),
            blob_bytes=self._blob_bytes,
            diff_id=Digest("sha256", self._tar_hash.hexdigest()),
            uncompressed_bytes=self._tar_bytes,
            toc_digest=Digest.of(toc),
            toc_entries=len(self._entries),
            annotations={**common, **ending.annotations},
            external_toc=ending.external_toc,
        )

    def _ending(self, toc: bytes) -> _Ending:
        compress = _compressor(self._options)
        if self._options.codec is Codec.ZSTD:
            return self._zstd_ending(toc, bytes(compress(toc)))
        header = bare_header(TOC_NAME, size=len(toc))
        tar = b"".join((header, toc, padding(len(toc)), END_OF_TAR))
        member = bytes(compress(tar))
        if self._options.has_toc_in_tar:
            return _Ending(member + dump_footer(Footer(self._blob_bytes)), tar)
        return _Ending(dump_footer(ExternalFooter()), external_toc=member)

    def _zstd_ending(self, toc: bytes, frame: bytes) -> _Ending:
        footer = ZstdFooter(
            toc_offset=self._blob_bytes + FRAME_HEADER_BYTES,
            toc_bytes=len(frame),
            raw_toc_bytes=len(toc),
        )
        annotations = {
            ZSTD_CHECKSUM_ANNOTATION: str(Digest.of(frame)),
            ZSTD_POSITION_ANNOTATION: f"{footer.toc_offset}:{len(frame)}:{len(toc)}:1",
        }
        return _Ending(skippable_frame(frame) + dump_footer(footer), annotations=annotations)

    def _add_to_file(self, position: int, content: memoryview) -> None:
        """Hashes whole files out of their chunks; one with a single chunk has the chunk's digest."""
        entry = self._entries[position]
        if entry.type == "reg":
            self._file_position = position
        file = self._entries[self._file_position]
        if file.size == content.nbytes:
            file.digest = entry.chunk_digest
            return
        if entry is file:
            self._file_hash = hashlib.sha256()
        self._file_hash.update(content)
        if entry.chunk_offset + content.nbytes == file.size:
            file.digest = f"sha256:{self._file_hash.hexdigest()}"

    def _count(self, compressed: bytes | bytearray, pieces: Sequence[memoryview]) -> None:
        self._blob_hash.update(compressed)
        self._blob_bytes += len(compressed)
        for piece in pieces:
            self._tar_hash.update(piece)
            self._tar_bytes += piece.nbytes
