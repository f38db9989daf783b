"""Writing blobs and reading them back in memory, the way a caller with files and sockets would."""

from collections.abc import Iterator
from dataclasses import dataclass

from estargz.members import InnerSpan, compressed_bound, decode_member
from estargz.opening import (
    DEFAULT_TAIL_BYTES,
    FoundToc,
    Opening,
    Piece,
    RangeRequest,
    TailRequest,
    extract_toc,
    open_layer,
)
from estargz.planning import WriterOptions, plan_members
from estargz.tar_stream import read_entries
from estargz.toc import Toc, TocEntry, parse_toc
from estargz.verify import VerifiedChunk
from estargz.writer import BlobAssembler, FinishedBlob, compress_member
from registry.digest import Digest
from tests.strategies import CHUNK_BYTES

SMALL_CHUNKS = WriterOptions(chunk_bytes=CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """A blob, and what its writer says about it."""

    data: bytes
    finished: FinishedBlob


def write_blob(tar: bytes, options: WriterOptions = SMALL_CHUNKS) -> WrittenBlob:
    """Writes a blob in one thread."""
    assembler = BlobAssembler()
    output = bytearray()
    view = memoryview(tar)
    for plan in plan_members(view, read_entries(view), options):
        member = compress_member(plan, level=options.compression_level)
        output += member.data
        assembler.append(member)
    finished = assembler.finish(compression_level=options.compression_level)
    return WrittenBlob(bytes(output + finished.tail), finished)


def answer(blob: bytes, request: TailRequest | RangeRequest) -> Piece:
    """What a registry would send."""
    if isinstance(request, TailRequest):
        start = max(0, len(blob) - request.length)
        return Piece(start, blob[start:], len(blob))
    return Piece(request.start, blob[request.start : request.start + request.length], len(blob))


def open_blob(
    blob: bytes, *, tail_bytes: int = DEFAULT_TAIL_BYTES
) -> tuple[FoundToc, list[TailRequest | RangeRequest]]:
    """Opens a blob; gives what was found and the requests that it took."""
    opening = open_layer(tail_bytes=tail_bytes)
    requests = [next(opening)]
    while True:
        try:
            requests.append(opening.send(answer(blob, requests[-1])))
        except StopIteration as stop:
            return stop.value, requests


def drive(opening: Opening, blob: bytes) -> tuple[bytes, list[TailRequest | RangeRequest]]:
    """Opens a blob; gives its compressed TOC and the requests that it took."""
    requests = [next(opening)]
    while True:
        try:
            requests.append(opening.send(answer(blob, requests[-1])))
        except StopIteration as stop:
            return stop.value.compressed, requests


def read_toc(blob: bytes, expected: Digest) -> Toc:
    """The TOC of a blob, verified."""
    found, _ = open_blob(blob)
    return parse_toc(extract_toc(found, expected=expected))


def read_files(blob: bytes, toc: Toc) -> dict[str, bytes]:
    """The content of every regular file, each chunk decoded alone and verified."""
    files: dict[str, bytes] = {}
    for entry, chunk in _chunks(toc):
        files[entry.name] = files.get(entry.name, b"") + chunk.read(blob)
    return files


@dataclass(frozen=True, slots=True)
class _Chunk:
    entry: TocEntry
    size: int

    def read(self, blob: bytes) -> bytes:
        offset, inner = self.entry.offset, self.entry.inner_offset
        data = blob[offset : offset + compressed_bound(inner + self.size)]
        (content,) = decode_member(data, [InnerSpan(inner, self.size)], blob_offset=offset)
        digest = Digest.parse(self.entry.chunk_digest).raw
        return bytes(VerifiedChunk(self.entry.name, digest, content).data)


@dataclass(frozen=True, slots=True)
class _Nothing:
    def read(self, blob: bytes) -> bytes:
        return b""


def _chunks(toc: Toc) -> Iterator[tuple[TocEntry, _Chunk | _Nothing]]:
    file = TocEntry(name="", type="reg")
    for entry in toc.entries:
        if entry.type == "reg":
            file = entry
            whole = entry.chunk_size or entry.size
            yield entry, _Chunk(entry, whole) if entry.size else _Nothing()
        elif entry.type == "chunk":
            yield file, _Chunk(entry, entry.chunk_size or file.size - entry.chunk_offset)
