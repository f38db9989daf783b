"""The files of an uncompressed tar, read in place: where each lies, without unpacking anything.

The tar is hostile: names are only ever looked up, never used as paths; links are followed inside the tar and
not far; headers, names and their number are bounded. Everything here blocks on the disk.
"""

import os
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from registry.errors import LayoutError

MAX_FILES: Final = 100_000
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_LINKS: Final = 8
_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Where a file's content lies in the tar."""

    start: int
    size: int


class TarFiles:
    """A tar on disk, opened anew for each read: nothing needs to be closed, and threads may read at the same time."""

    def __init__(self, path: Path, files: Mapping[str, FileSpan]) -> None:
        self.path = path
        self.files = files

    def __repr__(self) -> str:
        return f"<TarFiles {self.path} with {len(self.files)} files>"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Finds the files of a tar.

        Raises:
            LayoutError: it cannot be read, is compressed, or is no tar.
        """
        try:
            with path.open("rb") as file:
                _refuse_compressed(path, file.read(6))
                file.seek(0)
                return cls(path, _find_files(path, file))
        except OSError as error:
            raise LayoutError(path, f"it cannot be read ({error.strerror})") from error

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """A whole file.

        Raises:
            LayoutError: it is missing or larger than that.
        """
        span = self.find(name)
        if span.size > max_bytes:
            raise LayoutError(self.path, f"{name} has more than {max_bytes} bytes")
        return self.read_range(span, start=0, length=span.size)

    def find(self, name: str) -> FileSpan:
        """Where a file is.

        Raises:
            LayoutError: there is no such file.
        """
        span = self.files.get(clean_name(name))
        if span is None:
            raise LayoutError(self.path, f"it does not hold {name}")
        return span

    def read_range(self, span: FileSpan, *, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file.

        Raises:
            LayoutError: the file ends earlier, or cannot be read.
        """
        if start + length <= span.size:
            try:
                with self.path.open("rb") as file:
                    data = os.pread(file.fileno(), length, span.start + start)
            except OSError as error:
                raise LayoutError(self.path, f"it cannot be read ({error.strerror})") from error
            if len(data) == length:
                return data
        raise LayoutError(self.path, f"a file in it ends before byte {start + length}")


def clean_name(name: str) -> str:
    """What a name in a tar stands for: without ``./``, and never above the tar's root."""
    return posixpath.normpath("/" + name).lstrip("/")


class _Headers:
    """What ``tarfile`` needs of a file, refusing to read headers of absurd length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"an extension header of {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _refuse_compressed(path: Path, head: bytes) -> None:
    for magic, kind in _COMPRESSED.items():
        if head.startswith(magic):
            raise LayoutError(path, f"it is compressed with {kind}: decompress it first")


def _find_files(path: Path, file: BinaryIO) -> dict[str, FileSpan]:
    size = path.stat().st_size
    files: dict[str, FileSpan] = {}
    links: dict[str, str] = {}
    try:
        for info in _members(path, file):
            name = clean_name(info.name)
            if info.isreg() and not info.issparse() and info.offset_data + info.size <= size:
                files[name] = FileSpan(info.offset_data, info.size)
            elif info.issym():
                links[name] = clean_name(posixpath.join(posixpath.dirname(name), info.linkname))
            elif info.islnk():
                links[name] = clean_name(info.linkname)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise LayoutError(path, f"it is no tar, or damaged: {error}") from error
    return files | {
        name: files[target]
        for name in links
        if name not in files and (target := _follow(name, links)) in files
    }


def _follow(name: str, links: Mapping[str, str]) -> str:
    for _ in range(_MAX_LINKS):
        if name not in links:
            break
        name = links[name]
    return name


def _members(path: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=_Headers(file), mode="r:") as archive:  # type: ignore[call-overload]
        for _ in range(MAX_FILES):
            info = archive.next()
            if info is None:
                return
            archive.members.clear()
            yield info
    raise LayoutError(path, f"it holds more than {MAX_FILES} files")
