"""What a layer's blob is decompressed with: gzip (also several members), zstd (also several frames), or nothing.

The first bytes decide, not the media type: tools disagree about the latter. ``LayerDecoder`` is fed
compressed bytes and gives content in pieces of bounded size, so neither a hostile blob nor a large one
can fill the memory; ``unpack_blob`` drives it from a stream into a file and checks both digests.
"""

import hashlib
from collections.abc import AsyncIterable, Callable, Iterator
from typing import BinaryIO, Final, Protocol, cast

import trio
import zstandard
from isal import isal_zlib

from estargz.errors import ConversionError, DigestMismatchError
from estargz.layer_source import LayerSource
from registry.digest import Digest

_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_ZSTD_MAGICS: Final = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")
_UNSUPPORTED_MAGICS: Final = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_MAGIC_BYTES: Final = 6
_PIECE_BYTES: Final = 1 << 20
# Four bytes of zstd can stand for 128 KiB, and its decoder cannot be told to stop: feed it little at a time.
_ZSTD_FEED_BYTES: Final = 1 << 10
_ZSTD_WINDOW_BYTES: Final = 128 << 20
# Smaller pieces are collected: a hop into a thread costs as much as decoding a few KiB.
_BATCH_BYTES: Final = 256 << 10

_InflateError = cast("type[Exception]", isal_zlib.error)


class _Codec(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Content that the data, and what was fed before, holds."""

    def finish(self) -> None:
        """Raises an error if the data must not end here."""


class LayerDecoder:
    """Decompresses one blob, whatever it is compressed with."""

    def __init__(self) -> None:
        self._head = b""
        self._codec: _Codec | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes the next bytes of the blob; gives their content, if any, in pieces of bounded size.

        Raises:
            DecodeError: the data is corrupt. The iterator must be used up before the next call.
        """
        if self._codec is None:
            data = self._head + data
            if len(data) < _MAGIC_BYTES:
                self._head = data
                return
            self._codec = _codec_for(data)
        yield from self._codec.feed(data)

    def finish(self) -> Iterator[bytes]:
        """Says that the blob ends here; gives what was held back.

        Raises:
            DecodeError: it is cut short.
        """
        if self._codec is None:
            self._codec = _codec_for(self._head)
            yield from self._codec.feed(self._head)
        self._codec.finish()


class DecodeError(Exception):
    """Compressed data that cannot be decompressed; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _codec_for(head: bytes) -> _Codec:
    if head.startswith(_GZIP_MAGIC):
        return _Gzip()
    if head.startswith(_ZSTD_MAGICS):
        return _Zstd()
    for magic, name in _UNSUPPORTED_MAGICS.items():
        if head.startswith(magic):
            raise DecodeError(f"it is compressed with {name}, which no container runtime reads")
    return _Plain()


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Gzip:
    def __init__(self) -> None:
        self._member = isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)
        self._fed = False
        self._members = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                # Some tools pad with zeros what follows the last member; anything else is another member.
                if self._members and not self._fed and not (data := data.lstrip(b"\0")):
                    return
                yield from self._feed_member(data)
                if not self._member.eof:
                    return
                data = self._member.unused_data
                self._member = isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)
                self._members += 1
                self._fed = False
        except _InflateError as error:
            raise DecodeError(f"its gzip data is corrupt ({error})") from None

    def _feed_member(self, data: bytes) -> Iterator[bytes]:
        self._fed = True
        while True:
            piece = self._member.decompress(data, _PIECE_BYTES)
            if piece:
                yield piece
            data = self._member.unconsumed_tail
            if self._member.eof or (not data and len(piece) < _PIECE_BYTES):
                return

    def finish(self) -> None:
        if self._fed or not self._members:
            raise DecodeError("its gzip data is cut short")


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame = self._decompressor.decompressobj()
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _ZSTD_FEED_BYTES):
                yield from self._feed_little(data[start : start + _ZSTD_FEED_BYTES])
        except zstandard.ZstdError as error:
            raise DecodeError(f"its zstd data is corrupt ({error})") from None

    def _feed_little(self, data: bytes) -> Iterator[bytes]:
        while data:
            self._fed = True
            if piece := self._frame.decompress(data):
                yield piece
            if not self._frame.eof:
                return
            data = self._frame.unused_data
            self._frame = self._decompressor.decompressobj()
            self._fed = False

    def finish(self) -> None:
        if self._fed:
            raise DecodeError("its zstd data is cut short")


async def unpack_blob(
    blob: AsyncIterable[bytes],
    source: LayerSource,
    output: BinaryIO,
    *,
    max_content_bytes: int,
    report: Callable[[int], None],
) -> None:
    """Decompresses a blob into a file, and verifies what it was and what it became.

    Args:
        blob: the compressed bytes as they arrive.
        source: what they must turn out to be.
        output: where the tar goes; on an error it holds rubbish.
        max_content_bytes: a larger tar is refused.
        report: called with the number of compressed bytes just dealt with.

    Raises:
        ConversionError: the data is corrupt, cut short or too large.
        DigestMismatchError: the blob or its content is not the named one.
    """
    unpacking = _Unpacking(source, output, max_content_bytes)
    batch: list[bytes] = []
    pending = 0
    async for data in blob:
        batch.append(data)
        pending += len(data)
        if pending >= _BATCH_BYTES:
            await trio.to_thread.run_sync(unpacking.take, b"".join(batch))
            report(pending)
            batch, pending = [], 0
    await trio.to_thread.run_sync(unpacking.take, b"".join(batch))
    await trio.to_thread.run_sync(unpacking.finish)
    report(pending)


class _Unpacking:
    """The state of ``unpack_blob``; used by one thread at a time."""

    def __init__(self, source: LayerSource, output: BinaryIO, max_content_bytes: int) -> None:
        self._source = source
        self._output = output
        self._max_content_bytes = max_content_bytes
        self._decoder = LayerDecoder()
        self._blob_hash = hashlib.new(source.digest.algorithm)
        self._blob_bytes = 0
        self._content_hash = hashlib.new(source.diff_id.algorithm)
        self._content_bytes = 0

    def take(self, data: bytes) -> None:
        self._blob_hash.update(data)
        self._blob_bytes += len(data)
        if self._blob_bytes > self._source.blob_bytes:
            size = self._source.blob_bytes
            raise ConversionError(self._source.what, f"it is longer than its {size} bytes")
        self._write(self._decoder.feed(data))

    def finish(self) -> None:
        self._write(self._decoder.finish())
        _expect(self._source.what, self._source.digest, self._blob_hash.hexdigest())
        content = f"the uncompressed content of {self._source.what}"
        _expect(content, self._source.diff_id, self._content_hash.hexdigest())
        self._output.flush()

    def _write(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                self._content_bytes += len(piece)
                if self._content_bytes > self._max_content_bytes:
                    reason = f"it unpacks to more than {self._max_content_bytes} bytes"
                    raise ConversionError(self._source.what, reason)
                self._content_hash.update(piece)
                self._output.write(piece)
        except DecodeError as error:
            raise ConversionError(self._source.what, error.reason) from error


def _expect(what: str, expected: Digest, actual_hex: str) -> None:
    actual = Digest(expected.algorithm, actual_hex)
    if actual != expected:
        raise DigestMismatchError(what, expected=expected, actual=actual)
