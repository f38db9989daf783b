"""Writing an eStargz blob: compressed members, put together with a TOC and a footer.

    entries = read_entries(tar)
    assembler = BlobAssembler()
    for plan in plan_members(tar, entries, options):
        member = compress_member(plan, level=options.compression_level)     # in any thread, in any order
        output.write(member.data); assembler.append(member)                 # in the order of the plans
    finished = assembler.finish(compression_level=options.compression_level)
    output.write(finished.tail)

Members depend on nothing but their plan, so the bytes of a blob are the same however many threads
compress it. They are compressed in one shot by libdeflate, whose level 6 makes them as small as zlib's
level 9 does; ``benchmarks/convert.py`` measures both.
"""

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

import deflate
import msgspec

from estargz.footer import Footer, dump_footer
from estargz.planning import MemberPlan, bare_header, padding
from estargz.toc import TOC_NAME, Toc, TocEntry, dump_toc
from registry.digest import Digest


@dataclass(frozen=True, slots=True)
class CompressedMember:
    """A member as it goes into the blob, and the digest of its chunk (empty without one)."""

    plan: MemberPlan
    data: bytes | bytearray
    chunk_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedBlob:
    """What ends a blob, and what is known of it then. ``tail`` is to be written after the last member."""

    tail: bytes
    digest: Digest
    blob_bytes: int
    diff_id: Digest
    uncompressed_bytes: int
    toc_digest: Digest
    toc_entries: int


def compress_member(plan: MemberPlan, *, level: int) -> CompressedMember:
    """Compresses a member and hashes its chunk; a pure function that releases the GIL."""
    content = plan.pieces[0] if len(plan.pieces) == 1 else memoryview(b"".join(plan.pieces))
    chunk = content[: plan.chunk_bytes]
    digest = f"sha256:{hashlib.sha256(chunk).hexdigest()}" if plan.chunk_bytes else ""
    return CompressedMember(plan, deflate.gzip_compress(content, level), digest)


class BlobAssembler:
    """Puts members together: offsets, the TOC, and every digest of the blob, in one pass.

    It keeps the TOC in memory and no content.
    """

    def __init__(self) -> None:
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
        toc = member.plan.toc
        if member.plan.chunk_bytes:
            self._append_chunk(member, toc[0])
            toc = toc[1:]
        self._entries.extend(toc)
        self._count(member.data, member.plan.pieces)

    def finish(self, *, compression_level: int) -> FinishedBlob:
        """Makes the TOC's member and the footer, and sums up. Nothing can be appended afterwards."""
        toc = dump_toc(Toc(entries=self._entries))
        ending = b"".join(
            (
                bare_header(TOC_NAME, size=len(toc)),
                toc,
                padding(len(toc)),
                bytes(2 * tarfile.BLOCKSIZE),
            )
        )
        toc_offset = self._blob_bytes
        member = deflate.gzip_compress(ending, compression_level)
        tail = bytes(member) + dump_footer(Footer(toc_offset))
        self._count(tail, (memoryview(ending),))
        return FinishedBlob(
            tail=tail,
            digest=Digest("sha256", self._blob_hash.hexdigest()),
            blob_bytes=self._blob_bytes,
            diff_id=Digest("sha256", self._tar_hash.hexdigest()),
            uncompressed_bytes=self._tar_bytes,
            toc_digest=Digest.of(toc),
            toc_entries=len(self._entries),
        )

    def _append_chunk(self, member: CompressedMember, entry: TocEntry) -> None:
        entry = msgspec.structs.replace(
            entry, offset=self._blob_bytes, chunk_digest=member.chunk_digest
        )
        if entry.type == "reg":
            self._file_position = len(self._entries)
        self._entries.append(entry)
        file = self._entries[self._file_position]
        if file.size == member.plan.chunk_bytes:
            file.digest = member.chunk_digest
            return
        if entry is file:
            self._file_hash = hashlib.sha256()
        self._file_hash.update(member.plan.pieces[0][: member.plan.chunk_bytes])
        if entry.chunk_offset + member.plan.chunk_bytes == file.size:
            file.digest = f"sha256:{self._file_hash.hexdigest()}"

    def _count(self, compressed: bytes | bytearray, pieces: Sequence[memoryview]) -> None:
        self._blob_hash.update(compressed)
        self._blob_bytes += len(compressed)
        for piece in pieces:
            self._tar_hash.update(piece)
            self._tar_bytes += piece.nbytes
