"""From a TOC to what is served: an inode table and a chunk table.

The rules are those of reference readers of the format: names are cleaned, a later entry replaces an
earlier one of the same name, missing parents are made (0755, root), hard links share the inode of
their target, ``.wh.`` files become whiteouts and opaque marks. What cannot be right is refused with
the name of the entry: a layer is served whole or not at all.
"""

import stat
from collections.abc import Sequence

from estargz.codec import Codec
from estargz.errors import TocError
from estargz.toc import NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, Toc, TocEntry, TocLimits
from fs.chunk_table import ChunkTable
from fs.content_layout import ContentLayout
from fs.entry_checks import (
    TYPE_BITS,
    Path,
    base_name,
    clean_path,
    parse_attributes,
    parse_link_target,
    parse_mtime_ns,
)
from fs.inode_building import InodeTableBuilder
from fs.inodes import ROOT, Attributes, InodeTable
from fs.layer_image import LayerImage

OPAQUE_XATTR = b"trusted.overlay.opaque"
_TRUSTED = "trusted."
_WHITEOUT_PREFIX = b".wh."
_OPAQUE_MARK = b".wh..wh..opq"
_PREFETCH_LANDMARK = PREFETCH_LANDMARK.encode()
_NO_NAMES = {b"", b".", b".."}
_LANDMARKS = {_PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK.encode()}
_IMPLICIT = Attributes(mode=stat.S_IFDIR | 0o755)
_MAX_LINK_CHAIN = 40


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
        self._inodes = InodeTableBuilder(_IMPLICIT)
        self._content = ContentLayout(payload_bytes, limits)
        self._prefetch_end: int | None = None
        # By a directory's name as entries spell it; for as long as no directory is replaced by something else.
        self._directories: dict[str | Path, int] = {}
        self._hard_links: dict[Path, TocEntry] = {}
        # Their last components: what is called otherwise needs no cleaning to know that it is none of them.
        self._hard_link_names: set[bytes] = set()
        self._whiteouts: dict[Path, TocEntry] = {}

    def compile(self, toc: Toc) -> LayerImage:
        for pieces in toc.files():
            self._add(pieces[0], pieces)
        self._resolve_hard_links()
        self._add_whiteouts()
        chunks = self._content.chunks.pack(payload_bytes=self._payload_bytes, codec=self._codec)
        return LayerImage(
            InodeTable(self._inodes.pack()),
            ChunkTable(chunks),
            self._codec,
            self._content.data_bytes,
            self._prefetch_end,
        )

    def _add(self, entry: TocEntry, pieces: Sequence[TocEntry]) -> None:
        above, name = self._split(entry.name)
        if name in _LANDMARKS and self._is_root(above):
            self._prefetch_end = entry.offset if name == _PREFETCH_LANDMARK else 0
            return
        if len(pieces) > 1 and entry.type != "reg":
            raise TocError(entry.name, f"chunks behind a {entry.type}")
        if name.startswith(_WHITEOUT_PREFIX):
            self._whiteouts[clean_path(entry.name, self._limits)] = entry
        elif entry.type == "hardlink":
            self._add_hard_link(name, entry)
        elif entry.type == "dir":
            self._add_directory(above, name, entry)
        elif entry.type in TYPE_BITS:
            self._add_file(above, name, entry, pieces)
        else:
            raise TocError(entry.name, f"unknown type {entry.type!r}")

    def _split(self, name: str) -> tuple[str | Path, bytes]:
        """An entry's directory, as ``_directory`` takes it, and its own name, which only the root has none of."""
        plain = base_name(name, self._limits)
        if plain is not None:
            return plain
        path = clean_path(name, self._limits)
        return path[:-1], path[-1] if path else b""

    def _is_root(self, above: str | Path) -> bool:
        return not (clean_path(above, self._limits) if isinstance(above, str) else above)

    def _add_directory(self, above: str | Path, name: bytes, entry: TocEntry) -> None:
        attributes = parse_attributes(entry, self._limits)
        if name:
            directory = self._directory(above, entry.name)
            known = self._inodes.child(directory, name)
        else:
            directory = known = ROOT
        if known is not None and self._inodes.is_directory(known):
            self._inodes.set_attributes(known, attributes)
            self._set_xattrs(known, entry)
        else:
            self._set_xattrs(self._enter(directory, name, attributes), entry)
        self._forget_hard_link(entry, name)

    def _add_file(
        self, above: str | Path, name: bytes, entry: TocEntry, pieces: Sequence[TocEntry]
    ) -> None:
        if not name:
            raise TocError(entry.name, "the root must be a directory")
        attributes = parse_attributes(entry, self._limits)
        index = self._enter(self._directory(above, entry.name), name, attributes)
        self._set_xattrs(index, entry)
        if entry.type == "symlink":
            self._inodes.set_target(index, parse_link_target(entry, self._limits))
        elif entry.type == "reg" and entry.size:
            self._inodes.set_data_offset(index, self._content.place(entry, pieces))
        self._forget_hard_link(entry, name)

    def _add_hard_link(self, name: bytes, entry: TocEntry) -> None:
        if not name:
            raise TocError(entry.name, "the root must be a directory")
        self._hard_links[clean_path(entry.name, self._limits)] = entry
        self._hard_link_names.add(name)

    def _forget_hard_link(self, entry: TocEntry, name: bytes) -> None:
        """A later entry takes the place of an earlier hard link of that name."""
        if name in self._hard_link_names:
            self._hard_links.pop(clean_path(entry.name, self._limits), None)

    def _set_xattrs(self, index: int, entry: TocEntry) -> None:
        # As when containerd unpacks: an image may not set what is the administrator's, overlayfs's marks above all.
        if entry.xattrs:
            names = (name for name in entry.xattrs if not name.startswith(_TRUSTED))
            self._inodes.set_xattrs(index, {name.encode(): entry.xattrs[name] for name in names})

    def _enter(self, directory: int, name: bytes, attributes: Attributes) -> int:
        """Adds an inode and its name."""
        index = self._inodes.add(attributes, parent=directory)
        self._link(directory, name, index)
        return index

    def _link(self, directory: int, name: bytes, index: int) -> None:
        replaced = self._inodes.child(directory, name)
        if replaced is not None and self._inodes.is_directory(replaced):
            self._directories.clear()
        self._inodes.link(directory, name, index)

    def _directory(self, above: str | Path, name: str) -> int:
        """The directory that an entry is in; it and those above it are made where they are missing."""
        known = self._directories.get(above)
        if known is not None:
            return known
        path = clean_path(above, self._limits) if isinstance(above, str) else above
        if len(path) >= self._limits.max_depth:
            raise TocError(name[:80], "a path too deep")
        index = ROOT
        for depth, part in enumerate(path, start=1):
            child = self._inodes.child(index, part)
            if child is None:
                child = self._enter(index, part, _IMPLICIT)
            elif not self._inodes.is_directory(child):
                shown = b"/".join(path[:depth]).decode(errors="replace")
                raise TocError(name, f"/{shown} above it is no directory")
            index = child
        self._directories[above] = index
        return index

    def _find(self, path: Path) -> int | None:
        """The inode at a path, if there is one."""
        index: int | None = ROOT
        for part in path:
            index = None if index is None else self._inodes.child(index, part)
        return index

    def _resolve_hard_links(self) -> None:
        for path, entry in self._hard_links.items():
            index = self._link_source(entry)
            self._link(self._directory(path[:-1], entry.name), path[-1], index)

    def _link_source(self, entry: TocEntry) -> int:
        """The inode at the end of a chain of hard links."""
        seen = entry
        for _ in range(_MAX_LINK_CHAIN):
            path = clean_path(seen.link_name, self._limits)
            if path not in self._hard_links:
                break
            seen = self._hard_links[path]
        else:
            raise TocError(entry.name, f"hard link to {entry.link_name!r}, which leads nowhere")
        index = self._find(path)
        if index is None:
            raise TocError(entry.name, f"hard link to {entry.link_name!r}, which is not there")
        if self._inodes.is_directory(index):
            raise TocError(entry.name, f"hard link to the directory {entry.link_name!r}")
        return index

    def _add_whiteouts(self) -> None:
        for path, entry in self._whiteouts.items():
            mark, directory = path[-1], self._directory(path[:-1], entry.name)
            if mark == _OPAQUE_MARK:
                xattrs = {**self._inodes.xattrs(directory), OPAQUE_XATTR: b"y"}
                self._inodes.set_xattrs(directory, xattrs)
            elif not mark.startswith(_WHITEOUT_PREFIX * 2):  # ".wh..wh.*" are aufs's own files
                hidden = mark.removeprefix(_WHITEOUT_PREFIX)
                if hidden in _NO_NAMES:
                    raise TocError(entry.name, "a whiteout of nothing")
                if self._inodes.child(directory, hidden) is None:
                    mtime_ns = parse_mtime_ns(entry)
                    self._enter(directory, hidden, Attributes(mode=stat.S_IFCHR, mtime_ns=mtime_ns))
