"""From a TOC to what is served: an inode table and a chunk table.

The rules are those of reference readers of the format: names are cleaned, a later entry replaces an
earlier one of the same name, missing parents are made (0755, root), hard links share the inode of
their target, ``.wh.`` files become whiteouts and opaque marks. What cannot be right is refused with
the name of the entry: a layer is served whole or not at all.
"""

import os
import stat
from dataclasses import dataclass
from datetime import datetime

from estargz.codec import Codec
from estargz.errors import TocError
from estargz.toc import NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, Toc, TocEntry, TocLimits
from fs.chunk_table import ChunkTable
from fs.inodes import BLOCK_BYTES, ROOT, Attributes, InodeTable
from registry.digest import Digest
from registry.errors import InvalidDigestError

OPAQUE_XATTR = b"trusted.overlay.opaque"
_TRUSTED = "trusted."
_WHITEOUT_PREFIX = b".wh."
_OPAQUE_MARK = b".wh..wh..opq"
_PREFETCH_LANDMARK = PREFETCH_LANDMARK.encode()
_LANDMARKS = {_PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK.encode()}
_TYPE_BITS = {
    "dir": stat.S_IFDIR,
    "reg": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_MAX_ID = 0xFFFFFFFF
_MAJORS, _MINORS = 1 << 12, 1 << 20  # Linux's dev_t
_MAX_LINK_CHAIN = 40
_MAX_NAME_BYTES = 255

Path = tuple[bytes, ...]


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


def compile_layer(
    toc: Toc, *, payload_bytes: int, codec: Codec = Codec.GZIP, limits: TocLimits | None = None
) -> LayerImage:
    """Compiles a TOC. It costs CPU in proportion to the TOC's size: call it in a thread.

    Args:
        toc: the verified TOC.
        payload_bytes: where the content ends in the blob.
        codec: how its members are compressed.
        limits: what is believed.

    Raises:
        TocError: an entry breaks a rule; it is named.
    """
    return _Compiler(payload_bytes, codec, limits or TocLimits()).compile(toc)


class _Compiler:
    """The state of one compilation."""

    def __init__(self, payload_bytes: int, codec: Codec, limits: TocLimits) -> None:
        self._limits = limits
        self._payload_bytes = payload_bytes
        self._codec = codec
        self._inodes = InodeTable()
        self._chunks = ChunkTable()
        self._data_end = 0
        self._prefetch_end: int | None = None
        self._by_path: dict[Path, int] = {}
        self._hard_links: dict[Path, TocEntry] = {}
        self._whiteouts: dict[Path, TocEntry] = {}

    def compile(self, toc: Toc) -> LayerImage:
        root = Attributes(mode=stat.S_IFDIR | 0o755)
        self._by_path[()] = self._inodes.add(root, name=b"", parent=ROOT)
        entries, position = toc.entries, 0
        while position < len(entries):
            start, position = position, position + 1
            while position < len(entries) and entries[position].type == "chunk":
                position += 1
            self._add(entries[start], entries[start:position])
        self._resolve_hard_links()
        self._add_whiteouts()
        self._count_links()
        self._chunks.freeze(payload_bytes=self._payload_bytes, codec=self._codec)
        return LayerImage(
            self._inodes, self._chunks, self._codec, self._data_end, self._prefetch_end
        )

    def _add(self, entry: TocEntry, pieces: list[TocEntry]) -> None:
        path = clean_path(entry.name, self._limits)
        if len(path) == 1 and path[0] in _LANDMARKS:
            self._prefetch_end = entry.offset if path[0] == _PREFETCH_LANDMARK else 0
            return
        if path and path[-1].startswith(_WHITEOUT_PREFIX):
            self._whiteouts[path] = entry
        elif entry.type == "hardlink":
            self._hard_links[path] = entry
            self._by_path.pop(path, None)
        elif entry.type == "dir":
            self._add_directory(path, entry)
        elif entry.type in _TYPE_BITS:
            self._add_file(path, entry, pieces)
        else:
            raise TocError(entry.name, f"unknown type {entry.type!r}")
        if len(pieces) > 1 and entry.type != "reg":
            raise TocError(entry.name, f"chunks behind a {entry.type}")

    def _add_directory(self, path: Path, entry: TocEntry) -> None:
        index = self._by_path.get(path)
        attributes = _attributes(entry, self._limits)
        if index is not None and self._inodes.is_directory(index):
            self._inodes.set_attributes(index, attributes)
        else:
            index = self._enter(path, attributes, entry.name)
        self._set_xattrs(index, entry)

    def _add_file(self, path: Path, entry: TocEntry, pieces: list[TocEntry]) -> None:
        if not path:
            raise TocError(entry.name, "the root must be a directory")
        index = self._enter(path, _attributes(entry, self._limits), entry.name)
        self._set_xattrs(index, entry)
        if entry.type == "symlink":
            self._inodes.set_target(index, _link_target(entry, self._limits))
        elif entry.type == "reg" and entry.size:
            self._inodes.set_data_offset(index, self._place(entry, pieces))

    def _set_xattrs(self, index: int, entry: TocEntry) -> None:
        # As when containerd unpacks: an image may not set what is the administrator's, overlayfs's marks above all.
        names = (name for name in entry.xattrs if not name.startswith(_TRUSTED))
        xattrs = {name.encode(): entry.xattrs[name] for name in names}
        if xattrs:
            self._inodes.set_xattrs(index, xattrs)

    def _enter(self, path: Path, attributes: Attributes, name: str) -> int:
        """Adds an inode under a path, making the parents that are missing."""
        directory = self._directory(path[:-1], name)
        index = self._inodes.add(attributes, name=path[-1], parent=directory)
        replaced = self._by_path.get(path)
        if replaced is not None and self._inodes.is_directory(replaced):
            self._forget_below(path)
        self._inodes.link(directory, path[-1], index)
        self._by_path[path] = index
        self._hard_links.pop(path, None)
        return index

    def _forget_below(self, path: Path) -> None:
        depth = len(path)
        for known in [p for p in self._by_path if len(p) > depth and p[:depth] == path]:
            del self._by_path[known]

    def _directory(self, path: Path, name: str) -> int:
        """The directory at a path; it and those above it are made where they are missing."""
        index = self._by_path.get(path)
        if index is not None and self._inodes.is_directory(index):
            return index
        index = ROOT
        for depth, part in enumerate(path, start=1):
            child = self._inodes.children(index).get(part)
            if child is None:
                implicit = Attributes(mode=stat.S_IFDIR | 0o755)
                child = self._inodes.add(implicit, name=part, parent=index)
                self._inodes.link(index, part, child)
                self._by_path[path[:depth]] = child
            elif not self._inodes.is_directory(child):
                raise TocError(name, f"{self._inodes.path(child)} above it is no directory")
            index = child
        return index

    def _place(self, entry: TocEntry, pieces: list[TocEntry]) -> int:
        """Gives a file its place in the data space and its chunks their rows."""
        start = self._data_end
        expected = 0
        for piece in pieces:
            size = piece.chunk_size or entry.size - piece.chunk_offset
            self._check_piece(entry, piece, size=size, expected=expected)
            self._chunks.append(
                data_offset=start + expected,
                size=size,
                blob_offset=piece.offset,
                inner_offset=piece.inner_offset,
                digest=_chunk_digest(piece),
            )
            expected += size
        if expected != entry.size:
            raise TocError(entry.name, f"its chunks hold {expected} bytes of {entry.size}")
        self._data_end = start + -(-entry.size // BLOCK_BYTES) * BLOCK_BYTES
        if self._data_end > self._limits.max_content_bytes:
            raise TocError(entry.name, f"the layer holds over {self._limits.max_content_bytes}")
        return start

    def _check_piece(self, entry: TocEntry, piece: TocEntry, *, size: int, expected: int) -> None:
        if piece.chunk_offset != expected:
            raise TocError(entry.name, f"a chunk at {piece.chunk_offset}, expected {expected}")
        if not 0 < size <= self._limits.max_chunk_bytes or expected + size > entry.size:
            raise TocError(entry.name, f"a chunk of {size} bytes in a file of {entry.size}")
        if not 0 <= piece.offset < self._payload_bytes:
            reason = f"offset {piece.offset}, content ends at {self._payload_bytes}"
            raise TocError(entry.name, reason)
        if not 0 <= piece.inner_offset <= self._limits.max_chunk_bytes - size:
            raise TocError(entry.name, f"inner offset {piece.inner_offset}")

    def _resolve_hard_links(self) -> None:
        for path, entry in self._hard_links.items():
            index = self._link_source(path, entry)
            directory = self._directory(path[:-1], entry.name)
            self._inodes.link(directory, path[-1], index)
            self._by_path[path] = index

    def _link_source(self, path: Path, entry: TocEntry) -> int:
        seen = entry
        for _ in range(_MAX_LINK_CHAIN):
            path = clean_path(seen.link_name, self._limits)
            if path not in self._hard_links:
                break
            seen = self._hard_links[path]
        index = self._by_path.get(path)
        if index is None:
            raise TocError(entry.name, f"hard link to {entry.link_name!r}, which is not there")
        if self._inodes.is_directory(index):
            raise TocError(entry.name, f"hard link to the directory {entry.link_name!r}")
        return index

    def _add_whiteouts(self) -> None:
        for path, entry in self._whiteouts.items():
            *above, mark = path
            if mark == _OPAQUE_MARK:
                index = self._directory(tuple(above), entry.name)
                xattrs = {**self._inodes.xattrs(index), OPAQUE_XATTR: b"y"}
                self._inodes.set_xattrs(index, xattrs)
            elif not mark.startswith(_WHITEOUT_PREFIX * 2):  # ".wh..wh.*" are aufs's own files
                hidden = (*above, mark.removeprefix(_WHITEOUT_PREFIX))
                if hidden not in self._by_path:
                    mtime_ns = _mtime_ns(entry)
                    self._enter(
                        hidden, Attributes(mode=stat.S_IFCHR, mtime_ns=mtime_ns), entry.name
                    )

    def _count_links(self) -> None:
        """Directories count themselves, their name and their subdirectories; files their names."""
        counts = [0] * len(self._inodes)
        for index in range(len(self._inodes)):
            if self._inodes.is_directory(index):
                counts[index] += 2
                for child in self._inodes.children(index).values():
                    counts[index if self._inodes.is_directory(child) else child] += 1
        for index, count in enumerate(counts):
            self._inodes.set_nlink(index, count)


def clean_path(name: str, limits: TocLimits) -> Path:
    """A tar name's components: ``.``, ``..`` and empty ones resolved; it cannot leave the layer.

    Raises:
        TocError: it is too long or too deep, or holds a NUL.
    """
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) > limits.max_path_bytes or b"\0" in encoded:
        raise TocError(name[:80], f"a name of {len(encoded)} bytes, or with a NUL in it")
    parts: list[bytes] = []
    for part in encoded.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    if len(parts) > limits.max_depth or any(len(p) > _MAX_NAME_BYTES for p in parts):
        raise TocError(name[:80], "a path too deep, or too long a name in it")
    return tuple(parts)


def _attributes(entry: TocEntry, limits: TocLimits) -> Attributes:
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        raise TocError(entry.name, f"owner {entry.uid}:{entry.gid}")
    if not 0 <= entry.size <= limits.max_content_bytes:
        raise TocError(entry.name, f"size {entry.size}")
    rdev = 0
    if entry.type in ("char", "block"):
        if not (0 <= entry.dev_major < _MAJORS and 0 <= entry.dev_minor < _MINORS):
            raise TocError(entry.name, f"device {entry.dev_major}:{entry.dev_minor}")
        rdev = os.makedev(entry.dev_major, entry.dev_minor)
    size = {"reg": entry.size, "symlink": len(entry.link_name.encode())}.get(entry.type, 0)
    return Attributes(
        mode=_TYPE_BITS[entry.type] | (entry.mode & 0o7777),
        uid=entry.uid,
        gid=entry.gid,
        size=size,
        mtime_ns=_mtime_ns(entry),
        rdev=rdev,
    )


def _mtime_ns(entry: TocEntry) -> int:
    if not entry.modtime:
        return 0
    try:
        return int(datetime.fromisoformat(entry.modtime).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError) as error:
        raise TocError(entry.name, f"modification time {entry.modtime!r}") from error


def _link_target(entry: TocEntry, limits: TocLimits) -> bytes:
    target = entry.link_name.encode()
    if not 0 < len(target) <= limits.max_path_bytes or b"\0" in target:
        raise TocError(entry.name, f"a link target of {len(target)} bytes, or with a NUL in it")
    return target


def _chunk_digest(piece: TocEntry) -> bytes:
    text = piece.chunk_digest or piece.digest
    if not text:
        raise TocError(piece.name, "no digest is recorded; such a layer cannot be verified")
    try:
        digest = Digest.parse(text)
    except InvalidDigestError as error:
        raise TocError(piece.name, str(error)) from error
    if digest.algorithm != "sha256":
        raise TocError(piece.name, f"chunk digests must be sha256, not {digest.algorithm}")
    return digest.raw
