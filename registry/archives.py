"""Images in archives: a tar of an OCI layout directory, and what ``docker save`` writes.

Both are read in place. An OCI archive is written as a layout directory first, and packed when it is complete.
Everything here blocks on the disk.
"""

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from registry.digest import Digest
from registry.errors import (
    InvalidDigestError,
    InvalidManifestError,
    InvalidReferenceError,
    LayoutError,
)
from registry.layout import LAYOUT_VERSION, choose_entry, parse_layout_version
from registry.manifest import (
    MAX_DESCRIPTORS,
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    RawManifest,
    dump_manifest,
    parse_manifest,
)
from registry.reference import Reference
from registry.tar_files import FileSpan, TarFiles

_MAX_CONFIG_BYTES: Final = 16 << 20
_PIECE_BYTES: Final = 1 << 20
_BLOB_NAME_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """One image of an archive: what its name says, and where all blobs of the archive are."""

    root: RawManifest
    blobs: Mapping[Digest, FileSpan]


def read_oci_archive(tar: TarFiles, tag: str | None) -> ArchiveContents:
    """Finds an image in a tar of an OCI layout; without a tag, the only one there.

    Raises:
        LayoutError: the tar is something else, or has no such image.
    """
    version = parse_layout_version(tar.read("oci-layout", max_bytes=MAX_MANIFEST_BYTES))
    if version != LAYOUT_VERSION:
        raise LayoutError(tar.path, f"its oci-layout file does not say version {LAYOUT_VERSION}")
    raw = tar.read("index.json", max_bytes=MAX_MANIFEST_BYTES)
    try:
        index = parse_manifest(raw, media_type=OCI_INDEX)
    except InvalidManifestError as error:
        raise LayoutError(tar.path, f"index.json: {error.reason}") from None
    if not isinstance(index, Index):
        raise LayoutError(tar.path, "index.json is not an index")
    entry = choose_entry(tar.path, index, tag)
    blobs = dict(_layout_blobs(tar.files))
    if entry.digest not in blobs:
        raise LayoutError(tar.path, f"it does not hold blob {entry.digest}")
    name = f"blobs/{entry.digest.algorithm}/{entry.digest.hex}"
    data = tar.read(name, max_bytes=MAX_MANIFEST_BYTES)
    if not entry.digest.matches(data):
        raise LayoutError(tar.path, f"the content of blob {entry.digest} has another digest")
    return ArchiveContents(RawManifest(data, entry.media_type, entry.digest), blobs)


def _layout_blobs(files: Mapping[str, FileSpan]) -> Iterator[tuple[Digest, FileSpan]]:
    for name, span in files.items():
        parts = name.split("/")
        if len(parts) == _BLOB_NAME_PARTS and parts[0] == "blobs":
            try:
                yield Digest.parse(f"{parts[1]}:{parts[2]}"), span
            except InvalidDigestError:
                continue


_Texts = Annotated[list[str], msgspec.Meta(max_length=MAX_DESCRIPTORS)]


class _SavedImage(msgspec.Struct, rename="pascal"):
    config: str
    layers: _Texts
    repo_tags: _Texts | None = None


_SAVED: Final = msgspec.json.Decoder(
    Annotated[list[_SavedImage], msgspec.Meta(max_length=MAX_DESCRIPTORS)]
)


def read_docker_archive(tar: TarFiles, tag: str | None) -> ArchiveContents:
    """Finds an image in what ``docker save`` wrote, and makes the manifest that it lacks: all layers are hashed.

    Raises:
        LayoutError: the tar is something else, or has no such image.
    """
    raw = tar.read("manifest.json", max_bytes=MAX_MANIFEST_BYTES)
    try:
        images = _SAVED.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LayoutError(tar.path, f"manifest.json: {error}") from None
    image = _choose(tar.path, images, tag)
    config = tar.read(image.config, max_bytes=_MAX_CONFIG_BYTES)
    blobs = {Digest.of(config): tar.find(image.config)}
    layers = []
    for name in image.layers:
        span = tar.find(name)
        layer = Descriptor(_media_type(tar, span), _hash(tar, span), span.size)
        blobs[layer.digest] = span
        layers.append(layer)
    described = Descriptor(OCI_CONFIG, Digest.of(config), len(config))
    data = dump_manifest(Manifest(OCI_MANIFEST, described, tuple(layers)))
    return ArchiveContents(RawManifest(data, OCI_MANIFEST, Digest.of(data)), blobs)


def _choose(path: Path, images: list[_SavedImage], tag: str | None) -> _SavedImage:
    found = images
    if tag is not None:
        found = [
            image for image in images if any(_names(name, tag) for name in image.repo_tags or [])
        ]
    if len(found) == 1:
        return found[0]
    names = sorted(name for image in images for name in image.repo_tags or ["(without a name)"])
    what = "several images, name one of" if tag is None and images else f"no image {tag}, but"
    raise LayoutError(path, f"it holds {what}: {', '.join(names)}")


def _names(name: str, wanted: str) -> bool:
    if name.rpartition(":")[2] == wanted:
        return True
    try:
        return Reference.parse(name) == Reference.parse(wanted)
    except InvalidReferenceError:
        return False


def _media_type(tar: TarFiles, span: FileSpan) -> str:
    head = tar.read_range(span, start=0, length=min(4, span.size))
    if head.startswith(b"\x1f\x8b"):
        return OCI_LAYER_GZIP
    return OCI_LAYER_ZSTD if head == b"\x28\xb5\x2f\xfd" else OCI_LAYER


def _hash(tar: TarFiles, span: FileSpan) -> Digest:
    digest = hashlib.sha256()
    for start in range(0, span.size, _PIECE_BYTES):
        length = min(_PIECE_BYTES, span.size - start)
        digest.update(tar.read_range(span, start=start, length=length))
    return Digest("sha256", digest.hexdigest())


def pack_layout(layout: Path, archive: Path) -> None:
    """Makes an OCI archive of a layout directory: complete and durable, or not at all.

    Raises:
        LayoutError: it cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(
            dir=archive.parent, prefix=f".{archive.name[:16]}-"
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    _pack(tar, layout, _files_of(layout))
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(temporary).replace(archive)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LayoutError(archive, f"it cannot be written ({error.strerror})") from error


def _files_of(layout: Path) -> list[Path]:
    blobs = (path for path in (layout / "blobs").rglob("*") if path.is_file())
    return [layout / "oci-layout", layout / "index.json", *sorted(blobs)]


def _pack(tar: tarfile.TarFile, layout: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        # Nothing of this machine or this moment: the same image makes the same archive.
        info = tarfile.TarInfo(str(path.relative_to(layout)))
        info.size = path.stat().st_size
        with path.open("rb") as file:
            tar.addfile(info, file)
