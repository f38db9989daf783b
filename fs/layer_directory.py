"""What is kept of each layer on disk: ``<root>/layers/<algorithm>/<hex>/``.

    layer.json     where it came from, and what cannot be read off the TOC
    toc.json.zst   the raw TOC, as verified
    tree, chunks   what it is compiled into (``fs.layer_image``)
    data, present  content (``fs.chunk_store``)

The first four appear together, by a rename; a layer that has them is attached without a request. What is damaged is made
again from what is not: the image from the TOC, and the TOC from the registry.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec
import zstandard

from estargz.codec import Codec
from estargz.errors import DigestMismatchError
from fs.durable_files import replace_file, sync_directory, sync_file, write_file
from fs.errors import LayerStateError
from fs.layer_image import CHUNKS_NAME, TREE_NAME, LayerImage, map_image, save_image
from registry.digest import Digest

RECORD_VERSION = 2
_TOC_NAME = "toc.json.zst"
_RECORD_NAME = "layer.json"
_ZSTD_LEVEL = 3
_NEW_PREFIX = "new-"


class LayerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``layer.json``. Sizes are of the compressed blob; content ends at ``payload_bytes``."""

    reference: str
    layer_digest: str
    toc_digest: str
    codec: Codec
    payload_bytes: int
    blob_bytes: int
    version: int = RECORD_VERSION

    @property
    def image_source(self) -> bytes:
        """32 bytes that name all that the layer's image depends on."""
        parts = (self.toc_digest, self.codec.value, self.payload_bytes)
        return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()


class LayerDirectories:
    """The directories of all layers under one root. Every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        """Makes the root, and removes what a crash left half-written.

        Raises:
            OSError: the root cannot be used.
        """
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in root.glob(f"{_NEW_PREFIX}*"):
            shutil.rmtree(leftover)

    def path(self, layer: Digest) -> Path:
        """Where a layer is kept; it need not exist."""
        return self.root / layer.algorithm / layer.hex

    def exists(self, layer: Digest) -> bool:
        """Whether anything is kept of a layer."""
        return (self.path(layer) / _RECORD_NAME).exists()

    def kept(self) -> list[Digest]:
        """Every layer of which anything is kept."""
        return [
            Digest(algorithm.name, record.parent.name)
            for algorithm in self.root.iterdir()
            if not algorithm.name.startswith(_NEW_PREFIX)  # which may go at any moment
            for record in algorithm.glob(f"*/{_RECORD_NAME}")
        ]

    def begin(self) -> Path:
        """A new, empty directory for what ``write_layer`` makes; ``put`` puts it into its place, ``give_up`` deletes it.

        Raises:
            OSError: the disk is full or broken.
        """
        return Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=self.root))

    def give_up(self, new: Path) -> None:
        """Deletes a directory that ``begin`` gave; what cannot be deleted now is when the server starts again."""
        shutil.rmtree(new, ignore_errors=True)

    def put(self, layer: Digest, new: Path) -> None:
        """Keeps a layer as it was written, in place of whatever was there; ``make_durable`` may follow later.

        Raises:
            OSError: the disk is full or broken; ``new`` is where it was.
        """
        target = self.path(layer)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        self.remove(layer)
        new.rename(target)

    def make_durable(self, layer: Digest) -> None:
        """Lets what was kept of a layer survive a loss of power; before, damage would be noticed.

        Raises:
            OSError: the disk is broken, or the layer was removed.
        """
        directory = self.path(layer)
        for name in (_RECORD_NAME, _TOC_NAME, TREE_NAME, CHUNKS_NAME):
            sync_file(directory / name)
        for above in (directory, directory.parent, self.root):
            sync_directory(above)

    def load_record(self, layer: Digest) -> LayerRecord:
        """What is known of a layer.

        Raises:
            LayerStateError: it is missing, damaged, or of another version.
        """
        path = self.path(layer) / _RECORD_NAME
        try:
            record = msgspec.json.decode(path.read_bytes(), type=LayerRecord)
        except (OSError, msgspec.MsgspecError) as error:
            raise LayerStateError(path, str(error)) from error
        if record.version != RECORD_VERSION:
            raise LayerStateError(path, f"version {record.version} is not known")
        return record

    def load_toc(self, layer: Digest, record: LayerRecord) -> bytes:
        """The raw TOC of a layer, verified again.

        Raises:
            LayerStateError: it is missing or damaged.
        """
        path = self.path(layer) / _TOC_NAME
        try:
            raw_toc = zstandard.ZstdDecompressor().decompress(path.read_bytes())
        except (OSError, zstandard.ZstdError) as error:
            raise LayerStateError(path, str(error)) from error
        actual = Digest.of(raw_toc)
        if str(actual) != record.toc_digest:
            expected = Digest.parse(record.toc_digest)
            mismatch = DigestMismatchError("the kept TOC", expected=expected, actual=actual)
            raise LayerStateError(path, str(mismatch))
        return raw_toc

    def replace_toc(self, layer: Digest, raw_toc: bytes) -> None:
        """Keeps a TOC in place of a damaged one.

        Raises:
            OSError: the disk is full or broken.
        """
        replace_file(self.path(layer) / _TOC_NAME, _compress(raw_toc))

    def map_image(self, layer: Digest, record: LayerRecord) -> LayerImage:
        """The layer's image, mapped.

        Raises:
            LayerStateError: it is missing, damaged, or of another version.
        """
        return map_image(self.path(layer), source=record.image_source, codec=record.codec)

    def replace_image(self, layer: Digest, record: LayerRecord, image: LayerImage) -> None:
        """Keeps an image in place of one that could not be used.

        Raises:
            OSError: the disk is full or broken.
        """
        save_image(image, self.path(layer), source=record.image_source)

    def remove(self, layer: Digest) -> None:
        """Deletes all that is kept of a layer; nothing there is no error.

        Raises:
            OSError: something could not be deleted.
        """
        directory = self.path(layer)
        if directory.exists():
            doomed = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=self.root))
            directory.rename(doomed / directory.name)
            # Or what is deleted now might be missed where it was.
            sync_directory(directory.parent)
            shutil.rmtree(doomed)


def write_layer(directory: Path, *, record: LayerRecord, raw_toc: bytes, image: LayerImage) -> None:
    """Writes a layer's record, TOC and image into a new directory.

    Raises:
        OSError: the disk is full or broken.
    """
    write_file(directory / _TOC_NAME, _compress(raw_toc))
    write_file(directory / _RECORD_NAME, msgspec.json.encode(record))
    save_image(image, directory, source=record.image_source)


def _compress(raw_toc: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(raw_toc)
