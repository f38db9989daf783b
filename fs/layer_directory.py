"""What is kept of each layer on disk: ``<root>/layers/<algorithm>/<hex>/``.

    toc.json.zst   the raw TOC, as verified
    layer.json     where it came from, and what cannot be read off the TOC
    data, present  content (``fs.chunk_store``)

The first two appear together, by a rename; a layer that has them is attached without a request.
"""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import zstandard

from estargz.codec import Codec
from estargz.errors import DigestMismatchError
from fs.errors import LayerStateError
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


class LayerDirectories:
    """The directories of all layers under one root. Every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        """Makes the root, and removes what a crash left half-written.

        Raises:
            OSError: the root cannot be used.
        """
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in root.glob(f"{_NEW_PREFIX}*"):
            shutil.rmtree(leftover)

    def path(self, layer: Digest) -> Path:
        """Where a layer is kept; it need not exist."""
        return self._root / layer.algorithm / layer.hex

    def exists(self, layer: Digest) -> bool:
        """Whether anything is kept of a layer."""
        return (self.path(layer) / _RECORD_NAME).exists()

    def kept(self) -> list[Digest]:
        """Every layer of which anything is kept."""
        return [
            Digest(record.parent.parent.name, record.parent.name)
            for record in self._root.glob(f"*/*/{_RECORD_NAME}")
            if not record.parent.parent.name.startswith(_NEW_PREFIX)
        ]

    def save(self, layer: Digest, record: LayerRecord, raw_toc: bytes) -> None:
        """Keeps a layer's TOC and record, in place of whatever was there.

        Raises:
            OSError: the disk is full or broken; nothing half-written stays.
        """
        target = self.path(layer)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=self._root))
        try:
            compressed = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(raw_toc)
            _write_durably(new / _TOC_NAME, compressed)
            _write_durably(new / _RECORD_NAME, msgspec.json.encode(record))
            if target.exists():
                shutil.rmtree(target)
            new.rename(target)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def load(self, layer: Digest) -> tuple[LayerRecord, bytes]:
        """The record and the raw TOC of a layer, which is checked again.

        Raises:
            LayerStateError: they are missing, damaged, or of another version.
        """
        directory = self.path(layer)
        try:
            record = msgspec.json.decode((directory / _RECORD_NAME).read_bytes(), type=LayerRecord)
            compressed = (directory / _TOC_NAME).read_bytes()
            raw_toc = zstandard.ZstdDecompressor().decompress(compressed)
        except (OSError, msgspec.MsgspecError, zstandard.ZstdError) as error:
            raise LayerStateError(directory, str(error)) from error
        if record.version != RECORD_VERSION:
            raise LayerStateError(directory, f"version {record.version} is not known")
        actual = Digest.of(raw_toc)
        if str(actual) != record.toc_digest:
            expected = Digest.parse(record.toc_digest)
            mismatch = DigestMismatchError("the kept TOC", expected=expected, actual=actual)
            raise LayerStateError(directory, str(mismatch))
        return record, raw_toc

    def remove(self, layer: Digest) -> None:
        """Deletes all that is kept of a layer; nothing there is no error.

        Raises:
            OSError: something could not be deleted.
        """
        directory = self.path(layer)
        if directory.exists():
            doomed = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=self._root))
            directory.rename(doomed / directory.name)
            shutil.rmtree(doomed)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
