"""Reading a layer's data space as one flat file: what the kernel does when it serves the tree itself.

Between files there is padding, which belongs to no chunk and is zeros.
"""

import errno
from collections.abc import Mapping

from estargz.verify import VerifiedChunk
from fs.chunk_table import ChunkTable
from fs.erofs.fuse_protocol import ReadRange
from fs.layer import Layer


def chunks_within(chunks: ChunkTable, start: int, end: int) -> range:
    """The chunks that hold content of ``[start, end)`` of the data space, which may lie in several files."""
    if not len(chunks) or start >= end:
        return range(0)
    covering = chunks.covering(start, end)
    first = max(0, covering.start)
    if first < covering.stop and chunks.data_offsets[first] + chunks.sizes[first] <= start:
        first += 1  # only the padding behind it is asked for
    return range(first, covering.stop)


def read_present(layer: Layer, wanted: ReadRange) -> bytes | None:
    """Bytes of the data space if they are here; safe in any thread, and never waits for more than the disk.

    Raises:
        OSError: the disk is broken.
    """
    start, end = _clipped(layer, wanted)
    chunks = chunks_within(layer.image.chunks, start, end)
    content = layer.read_present(chunks, start, end - start)
    return None if content is None else _checked(layer, content, end - start)


async def read(layer: Layer, wanted: ReadRange) -> bytes:
    """Bytes of the data space, as soon as they are here and verified; short only at its end.

    Raises:
        ChunkUnavailableError: they could not be fetched, or were wrong.
        OSError: the disk is broken.
    """
    start, end = _clipped(layer, wanted)
    indices = chunks_within(layer.image.chunks, start, end)
    with layer.store.pinned():
        unkept = await layer.wait_present(indices)
        if not unkept:
            return _read_store(layer, start, end)
        return _joined(layer, indices, (start, end), unkept)


def _joined(
    layer: Layer, indices: range, span: tuple[int, int], unkept: Mapping[int, VerifiedChunk]
) -> bytes:
    """Bytes of the data space, some of which the disk would not take."""
    start, end = span
    content = bytearray(end - start)
    for index in indices:
        offset = layer.image.chunks.data_offsets[index]
        first, last = max(start, offset), min(end, offset + layer.image.chunks.sizes[index])
        if index in unkept:
            piece = bytes(unkept[index].data[first - offset : last - offset])
        else:
            piece = _read_store(layer, first, last)
        content[first - start : last - start] = piece
    return bytes(content)


def _clipped(layer: Layer, wanted: ReadRange) -> tuple[int, int]:
    end = min(wanted.offset + wanted.size, layer.image.data_bytes)
    return min(wanted.offset, end), end


def _read_store(layer: Layer, start: int, end: int) -> bytes:
    return _checked(layer, layer.store.read(start, end - start), end - start)


def _checked(layer: Layer, content: bytes, size: int) -> bytes:
    if len(content) != size:  # the kernel would make zeros of the rest
        raise OSError(errno.EIO, f"layer {layer.digest}: its data file was cut off")
    return content
