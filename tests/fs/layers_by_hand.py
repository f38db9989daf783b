"""Layers made by hand for tests: TOC entries with real content behind them."""

import gzip
import io
import tarfile

import zstandard

from estargz.codec import Codec
from estargz.footer import (
    FRAME_HEADER_BYTES,
    AnyFooter,
    ExternalFooter,
    Footer,
    ZstdFooter,
    dump_footer,
    skippable_frame,
)
from estargz.toc import TOC_NAME, Toc, TocEntry, dump_toc
from registry.digest import Digest


class HandmadeBlob:
    """Collects members and the TOC entries that describe them."""

    def __init__(self, codec: Codec = Codec.GZIP) -> None:
        self._codec = codec
        zstd = zstandard.ZstdCompressor()
        self._compress = gzip.compress if codec is Codec.GZIP else zstd.compress
        self.data = bytearray(self._compress(b"a tar header"))
        self.entries: list[TocEntry] = []

    def add_file(self, name: str, content: bytes, *, chunk_bytes: int = 1 << 20, **more) -> None:
        """A regular file, one member a chunk."""
        pieces = [content[i : i + chunk_bytes] for i in range(0, len(content), chunk_bytes)]
        for number, piece in enumerate(pieces or [b""]):
            entry = TocEntry(
                name=name,
                type="chunk" if number else "reg",
                size=0 if number else len(content),
                offset=len(self.data) if content else 0,
                chunk_offset=number * chunk_bytes,
                chunk_size=len(piece) if len(pieces) > 1 else 0,
                chunk_digest=str(Digest.of(piece)) if content else "",
                digest="" if number else str(Digest.of(content)),
                **more,
            )
            self.entries.append(entry)
            if content:
                self.data += self._compress(piece + b"\0" * 100)

    def add_shared_member(self, files: dict[str, bytes]) -> None:
        """Several small files in one member, as min-chunk-size writers make them."""
        inner = 0
        for name, content in files.items():
            entry = TocEntry(
                name=name,
                type="reg",
                size=len(content),
                offset=len(self.data),
                inner_offset=inner,
                chunk_digest=str(Digest.of(content)),
            )
            self.entries.append(entry)
            inner += len(content)
        self.data += self._compress(b"".join(files.values()))

    def finish(self) -> Digest:
        """Appends TOC and footer; gives the TOC's digest."""
        raw, compressed = self._dump_toc()
        if self._codec is Codec.GZIP:
            footer: AnyFooter = Footer(len(self.data))
            self.data += compressed
        else:
            footer = ZstdFooter(
                toc_offset=len(self.data) + FRAME_HEADER_BYTES,
                toc_bytes=len(compressed),
                raw_toc_bytes=len(raw),
            )
            self.data += skippable_frame(compressed)
        self.data += dump_footer(footer)
        return Digest.of(raw)

    def finish_without_toc(self) -> tuple[Digest, bytes]:
        """Appends the footer that says that the TOC is elsewhere; gives its digest, and the compressed TOC."""
        raw, compressed = self._dump_toc()
        self.data += dump_footer(ExternalFooter())
        return Digest.of(raw), compressed

    def _dump_toc(self) -> tuple[bytes, bytes]:
        raw = dump_toc(Toc(entries=self.entries))
        if self._codec is Codec.ZSTD:
            return raw, self._compress(raw)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            header = tarfile.TarInfo(TOC_NAME)
            header.size = len(raw)
            tar.addfile(header, io.BytesIO(raw))
        return raw, self._compress(archive.getvalue())


def entry(name: str, kind: str = "reg", **more) -> TocEntry:
    """An entry without content."""
    return TocEntry(name=name, type=kind, **more)
