"""The layer image: what a TOC is compiled into, in memory or mapped from two files of the layer's directory.

    tree     the inode table (``fs.inodes``)
    chunks   the chunk table (``fs.chunk_table``), and the size of the data space

Both carry the name of what they were made from. A file of another version or source, or with a wrong checksum, is
no error of the layer: the image is compiled again. ``LAYOUT_VERSION`` counts what the same TOC is compiled into. A kernel
that shows a layer through EROFS relies on the layout that it was mounted with, for longer than one fs server lives: a new
version has to go on serving the older ones that are mounted.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from estargz.codec import Codec
from fs.chunk_table import CHUNK_SECTIONS, ChunkTable
from fs.durable_files import replace_file
from fs.inodes import TREE_SECTIONS, InodeTable
from fs.packed_file import dump_packed, map_packed

LAYOUT_VERSION = 1
TREE_NAME = "tree"
CHUNKS_NAME = "chunks"
_TREE_MAGIC = b"esgztree"
_CHUNKS_MAGIC = b"esgzchnk"
_FACTS = struct.Struct("=Qq")
_NO_LANDMARK = -1


@dataclass(frozen=True, slots=True)
class LayerImage:
    """A compiled layer.

    Attributes:
        inodes: its tree.
        chunks: its content.
        codec: how its members are compressed.
        data_bytes: the size of its data space.
        prefetch_end: where in the blob what a container reads first ends; None where no landmark says so.
    """

    inodes: InodeTable
    chunks: ChunkTable
    codec: Codec
    data_bytes: int
    prefetch_end: int | None


def save_image(image: LayerImage, directory: Path, *, source: bytes) -> None:
    """Writes both files. They are not flushed: damage is noticed, and costs a compilation.

    Args:
        image: the layer's.
        directory: the layer's.
        source: 32 bytes that name what it was compiled from.

    Raises:
        OSError: the disk is full or broken.
    """
    landmark = _NO_LANDMARK if image.prefetch_end is None else image.prefetch_end
    facts = _FACTS.pack(image.data_bytes, landmark)
    tree = dump_packed(
        image.inodes.sections, magic=_TREE_MAGIC, version=LAYOUT_VERSION, source=source
    )
    replace_file(directory / TREE_NAME, tree)
    chunks = dump_packed(
        [facts, *image.chunks.sections],
        magic=_CHUNKS_MAGIC,
        version=LAYOUT_VERSION,
        source=source,
    )
    replace_file(directory / CHUNKS_NAME, chunks)


def map_image(directory: Path, *, source: bytes, codec: Codec) -> LayerImage:
    """The image that ``save_image`` wrote, mapped: what of it nobody reads takes no memory.

    Raises:
        LayerStateError: there is none, or it is damaged, of another version, or from another source.
    """
    tree = map_packed(
        directory / TREE_NAME,
        magic=_TREE_MAGIC,
        version=LAYOUT_VERSION,
        source=source,
        sections=TREE_SECTIONS,
    )
    facts, *chunks = map_packed(
        directory / CHUNKS_NAME,
        magic=_CHUNKS_MAGIC,
        version=LAYOUT_VERSION,
        source=source,
        sections=1 + CHUNK_SECTIONS,
    )
    data_bytes, landmark = _FACTS.unpack(facts)
    return LayerImage(
        InodeTable(tree),
        ChunkTable(chunks),
        codec,
        data_bytes,
        None if landmark == _NO_LANDMARK else landmark,
    )
