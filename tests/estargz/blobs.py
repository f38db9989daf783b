"""Writing blobs and reading them back in memory, the way a caller with files and sockets would."""

from collections.abc import Iterator
from dataclasses import dataclass

from estargz.codec import Codec
from estargz.errors import ExternalTocError
from estargz.members import InnerSpan, compressed_bound, decode_member
from estargz.opening import (
    DEFAULT_TAIL_BYTES,
    FoundToc,
    Opening,
    Piece,
    RangeRequest,
    TailRequest,
    extract_toc,
    found_elsewhere,
    open_layer,
)
from estargz.planning import WriterOptions, plan_layer
from estargz.toc import Toc, TocEntry, parse_toc
from estargz.verify import VerifiedChunk
from estargz.writer import BlobAssembler, FinishedBlob, compress_members
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
    assembler = BlobAssembler(options)
    output = bytearray()
    for member in compress_members(plan_layer(memoryview(tar), options).members, options):
        output += member.data
        assembler.append(member)
    finished = assembler.finish()
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


def open_written(written: WrittenBlob) -> FoundToc:
    """Opens what was written, wherever its TOC is."""
    try:
        return open_blob(written.data)[0]
    except ExternalTocError as error:
        return found_elsewhere(written.finished.external_toc, blob_bytes=error.blob_bytes)


def read_toc(blob: bytes, expected: Digest) -> Toc:
    """The TOC of a blob, verified."""
    found, _ = open_blob(blob)
    return parse_toc(extract_toc(found, expected=expected))


def read_written(written: WrittenBlob) -> tuple[Toc, dict[str, bytes]]:
    """The TOC and all files of what was written, wherever its TOC is, all verified."""
    found = open_written(written)
    toc = parse_toc(extract_toc(found, expected=written.finished.toc_digest))
    return toc, read_files(written.data[: found.payload_bytes], toc, codec=found.codec)


def read_files(blob: bytes, toc: Toc, *, codec: Codec = Codec.GZIP) -> dict[str, bytes]:
    """The content of every regular file, each chunk decoded alone, from its own range, and verified."""
    files: dict[str, bytes] = {}
    for entry, chunk in _chunks(toc):
        files[entry.name] = files.get(entry.name, b"") + chunk.read(blob, codec)
    return files


@dataclass(frozen=True, slots=True)
class _Chunk:
    entry: TocEntry
    size: int

    def read(self, blob: bytes, codec: Codec) -> bytes:
        offset, inner = self.entry.offset, self.entry.inner_offset
        data = blob[offset : offset + compressed_bound(inner + self.size, codec)]
        spans = [InnerSpan(inner, self.size)]
        (content,) = decode_member(data, spans, blob_offset=offset, codec=codec)
        digest = Digest.parse(self.entry.chunk_digest or self.entry.digest).raw
        return bytes(VerifiedChunk(self.entry.name, digest, content).data)


@dataclass(frozen=True, slots=True)
class _Nothing:
    def read(self, blob: bytes, codec: Codec) -> bytes:
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
