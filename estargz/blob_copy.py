"""Copying a blob as it is, from a stream into a file, verified."""

import hashlib
from collections.abc import AsyncIterable, Callable
from typing import BinaryIO

import trio

from estargz.errors import ConversionError, DigestMismatchError
from estargz.layer_source import LayerSource
from registry.digest import Digest


async def copy_blob(
    blob: AsyncIterable[bytes],
    source: LayerSource,
    output: BinaryIO,
    *,
    report: Callable[[int], None],
) -> None:
    """Writes a blob into a file.

    Args:
        blob: its bytes as they arrive.
        source: what they must turn out to be.
        output: where they go; on an error it holds rubbish.
        report: called with the number of bytes just dealt with.

    Raises:
        ConversionError: it is longer than it should be.
        DigestMismatchError: it is another blob.
    """
    digest = hashlib.new(source.digest.algorithm)
    copied = 0

    def take(data: bytes) -> None:
        digest.update(data)
        output.write(data)

    async for data in blob:
        copied += len(data)
        if copied > source.blob_bytes:
            raise ConversionError(source.what, f"it is longer than its {source.blob_bytes} bytes")
        await trio.to_thread.run_sync(take, data)
        report(len(data))
    actual = Digest(source.digest.algorithm, digest.hexdigest())
    if actual != source.digest:
        raise DigestMismatchError(source.what, expected=source.digest, actual=actual)
    await trio.to_thread.run_sync(output.flush)
