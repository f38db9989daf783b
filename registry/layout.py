"""OCI image layouts: images in a directory (OCI image spec, "Image Layout").

Everything here blocks on the disk. Files appear whole or not at all, and blobs under their digest only after it was
checked, so an interrupted writer leaves a layout that is valid without what was being written.
"""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from registry.digest import Digest
from registry.errors import InvalidManifestError, LayoutError
from registry.manifest import (
    MAX_MANIFEST_BYTES,
    OCI_INDEX,
    Descriptor,
    Index,
    dump_manifest,
    parse_manifest,
)

REF_NAME: Final = "org.opencontainers.image.ref.name"
PIECE_BYTES: Final = 1 << 20

LAYOUT_VERSION: Final = "1.0.0"
_MARKER: Final = "oci-layout"
_INDEX: Final = "index.json"


class OciLayout:
    """One layout directory. Writers of the same layout must not overlap: the last index written wins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<OciLayout {self.path}>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens an existing layout.

        Raises:
            LayoutError: there is none, or not one of version 1.0.0.
        """
        layout = cls(path)
        marker = layout._read_file(path / _MARKER, max_bytes=MAX_MANIFEST_BYTES)
        if parse_layout_version(marker) != LAYOUT_VERSION:
            raise LayoutError(path, f"its {_MARKER} file does not say version {LAYOUT_VERSION}")
        return layout

    @classmethod
    def create(cls, path: Path) -> Self:
        """Opens a layout, after making an empty one where there is none.

        Raises:
            LayoutError: the directory cannot be written, or holds something else.
        """
        layout = cls(path)
        if (path / _MARKER).exists():
            return cls.open(path)
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise LayoutError(path, "the directory is neither a layout nor empty")
            layout._write_index(Index(OCI_INDEX, ()))
            marker = msgspec.json.encode({"imageLayoutVersion": LAYOUT_VERSION})
            with _replacing(path / _MARKER) as file:
                file.write(marker)
        return layout

    def index(self) -> Index:
        """What the layout holds.

        Raises:
            LayoutError: the index cannot be read.
        """
        raw = self._read_file(self.path / _INDEX, max_bytes=MAX_MANIFEST_BYTES)
        try:
            index = parse_manifest(raw, media_type=OCI_INDEX)
        except InvalidManifestError as error:
            raise LayoutError(self.path, f"{_INDEX}: {error.reason}") from None
        if not isinstance(index, Index):
            raise LayoutError(self.path, f"{_INDEX} is not an index")
        return index

    def find(self, tag: str | None) -> Descriptor:
        """The entry of a tag; without a tag, the only entry there is.

        Raises:
            LayoutError: there is no such entry, or more than one.
        """
        return choose_entry(self.path, self.index(), tag)

    def blob_path(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        return self.path / "blobs" / digest.algorithm / digest.hex

    def blob_bytes(self, digest: Digest) -> int | None:
        """The size of a blob; None where it is missing."""
        try:
            return self.blob_path(digest).stat().st_size
        except OSError:
            return None

    def read_blob(self, digest: Digest, *, max_bytes: int) -> bytes:
        """A whole blob, verified.

        Raises:
            LayoutError: it is missing, too large, or not what its name says.
        """
        data = self._read_file(self.blob_path(digest), max_bytes=max_bytes)
        if not digest.matches(data):
            raise LayoutError(self.path, f"the content of blob {digest} has another digest")
        return data

    def read_blob_range(self, digest: Digest, *, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a blob.

        Raises:
            LayoutError: it is missing or ends earlier.
        """
        with _reading(self.path), self.blob_path(digest).open("rb") as file:
            data = os.pread(file.fileno(), length, start)
        if len(data) != length:
            raise LayoutError(self.path, f"blob {digest} ends before byte {start + length}")
        return data

    def add_blob(
        self, digest: Digest, source: Path, *, on_progress: Callable[[int], None] | None = None
    ) -> None:
        """Copies a file in as a blob, unless it is there.

        Args:
            digest: the digest of the file's content; checked.
            source: the file.
            on_progress: called with the number of bytes just written, or found to be there.

        Raises:
            LayoutError: the layout cannot be written, the source cannot be read, or its content has another digest.
        """
        report = on_progress or (lambda _delta: None)
        present = self.blob_bytes(digest)
        if present is not None:
            report(present)
            return
        with _reading(self.path), source.open("rb") as file:
            self._write_blob(digest, _pieces(file), report)

    def add_manifest(self, raw: bytes, media_type: str, *, tag: str | None, listed: bool) -> Digest:
        """Stores a manifest or an index.

        Args:
            raw: its bytes.
            media_type: its type.
            tag: the name to list it under, taken from whatever had it before.
            listed: whether to list it in the layout's index at all; children of an index are not.

        Raises:
            LayoutError: the layout cannot be written.
        """
        digest = Digest.of(raw)
        if self.blob_bytes(digest) is None:
            self._write_blob(digest, [raw], lambda _delta: None)
        if listed:
            annotations = {} if tag is None else {REF_NAME: tag}
            self._list(Descriptor(media_type, digest, len(raw), annotations))
        return digest

    def _list(self, added: Descriptor) -> None:
        index = self.index()
        name = added.annotations.get(REF_NAME)
        kept = tuple(
            entry
            for entry in index.manifests
            if entry.annotations.get(REF_NAME) != name or (name is None and entry != added)
        )
        with _writing(self.path):
            self._write_index(dataclasses.replace(index, manifests=(*kept, added)))

    def _write_index(self, index: Index) -> None:
        with _replacing(self.path / _INDEX) as file:
            file.write(dump_manifest(index))

    def _write_blob(
        self, digest: Digest, pieces: Iterator[bytes] | list[bytes], report: Callable[[int], None]
    ) -> None:
        path = self.blob_path(digest)
        hasher = hashlib.new(digest.algorithm)
        with _writing(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _replacing(path) as file:
                for piece in pieces:
                    hasher.update(piece)
                    file.write(piece)
                    report(len(piece))
                if hasher.hexdigest() != digest.hex:
                    raise LayoutError(
                        self.path, f"content offered as blob {digest} has another digest"
                    )

    def _read_file(self, path: Path, *, max_bytes: int) -> bytes:
        with _reading(self.path), path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise LayoutError(self.path, f"{path.name} has more than {max_bytes} bytes")
        return data


def choose_entry(path: Path, index: Index, tag: str | None) -> Descriptor:
    """The entry of a tag in a layout's index; without a tag, the only entry there is.

    Raises:
        LayoutError: there is no such entry, or more than one; it names ``path``.
    """
    entries = index.manifests
    if tag is not None:
        entries = tuple(entry for entry in entries if entry.annotations.get(REF_NAME) == tag)
    # Several entries of one content are one image.
    if len({entry.digest for entry in entries}) == 1:
        return entries[0]
    if entries and tag is None:
        tags = sorted(entry.annotations.get(REF_NAME, "?") for entry in entries)
        raise LayoutError(path, f"it holds several images, name one of: {', '.join(tags)}")
    what = "no image" if tag is None else f"not exactly one image tagged {tag}"
    raise LayoutError(path, f"it holds {what}")


def parse_layout_version(marker: bytes) -> str | None:
    """What the ``oci-layout`` file says; None where it says nothing."""
    try:
        return msgspec.json.decode(marker, type=dict[str, str]).get("imageLayoutVersion")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name complete and durable, or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:16]}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            # The mode of a temporary file is for its owner alone; a layout is for whoever may enter it.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = Path(error.filename).name if isinstance(error.filename, str) else "a file"
        raise LayoutError(path, f"{what} cannot be read ({error.strerror})") from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LayoutError(path, f"it cannot be written ({error.strerror})") from error
