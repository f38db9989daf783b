"""An image's files as a container sees them: layers merged, from their TOCs alone. No I/O.

The rules are overlayfs's: what is higher wins, directories merge, whiteouts hide what is below them in lower layers
(never in their own), opaque directories hide all of it. Hard links share the file of their target. Links are
followed inside the image, and not for ever.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from estargz.errors import NoSuchFileError, TocError
from estargz.file_chunks import FileChunk, ListedFile
from estargz.tar_stream import clean_name
from estargz.toc import NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TocEntry

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_AUFS: Final = ".wh..wh."
_MAX_LINKS: Final = 40
_ROOT: Final = TocEntry(name="", type="dir", mode=0o755)


@dataclass(slots=True, eq=False)
class FileNode:
    """A file of the image, perhaps under several names.

    Attributes:
        entry: what the TOC says; made up for directories that no TOC lists.
        layer: the position of the layer that it comes from.
        chunks: its content, if it is a regular file.
        children: what a directory holds.
    """

    entry: TocEntry
    layer: int
    chunks: tuple[FileChunk, ...] = ()
    children: dict[str, "FileNode"] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.entry.type == "dir"


class ImageTree:
    """The merged files of some layers; made by adding them from the lowest to the highest."""

    def __init__(self) -> None:
        self.root = FileNode(_ROOT, 0)

    def add_layer(self, files: Sequence[ListedFile], *, position: int) -> None:
        """Puts a layer on top.

        Raises:
            TocError: the layer contradicts itself.
        """
        named = [(_parts(file.entry.name), file) for file in files]
        for parts, _file in named:
            if parts and parts[-1].startswith(_WHITEOUT):
                self._hide(parts)
        links = []
        for parts, file in named:
            if _is_mark(parts):
                continue
            if file.entry.type == "hardlink":
                links.append((parts, file.entry))
            else:
                self._add(parts, FileNode(file.entry, position, file.chunks))
        targets = {tuple(parts): entry for parts, entry in links}
        for parts, entry in links:
            self._add(parts, self._link_target(entry, targets, position))

    def find(self, path: str) -> FileNode:
        """The file that a path leads to; symbolic links on the way, and at its end, are followed.

        Raises:
            NoSuchFileError: there is none, or the links go on too long.
        """
        way, left, followed = [self.root], list(reversed(path.split("/"))), 0
        while left:
            part = left.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                way = way[: max(1, len(way) - 1)]
                continue
            node = way[-1].children.get(part)
            if node is None:
                raise NoSuchFileError(path, "there is no such file in the image")
            if node.entry.type != "symlink":
                way.append(node)
                continue
            followed += 1
            if followed > _MAX_LINKS:
                raise NoSuchFileError(path, "too many symbolic links on the way")
            target = node.entry.link_name
            left.extend(reversed(target.split("/")))
            if target.startswith("/"):
                way = [self.root]
        return way[-1]

    def _hide(self, parts: Sequence[str]) -> None:
        above = self._existing(parts[:-1])
        if above is None:
            return
        if parts[-1] == _OPAQUE:
            above.children.clear()
        elif not parts[-1].startswith(_AUFS):
            above.children.pop(parts[-1].removeprefix(_WHITEOUT), None)

    def _existing(self, parts: Sequence[str]) -> FileNode | None:
        node: FileNode | None = self.root
        for part in parts:
            node = None if node is None else node.children.get(part)
        return node

    def _add(self, parts: Sequence[str], node: FileNode) -> None:
        if not parts:
            if node.is_directory:
                self.root.entry, self.root.layer = node.entry, node.layer
            return
        above = self.root
        for part in parts[:-1]:
            below = above.children.get(part)
            if below is None or not below.is_directory:
                below = above.children[part] = FileNode(_ROOT, node.layer)
            above = below
        known = above.children.get(parts[-1])
        if known is not None and known.is_directory and node.is_directory:
            known.entry, known.layer = node.entry, node.layer
        else:
            above.children[parts[-1]] = node

    def _link_target(
        self, entry: TocEntry, links: dict[tuple[str, ...], TocEntry], position: int
    ) -> FileNode:
        target = tuple(_parts(entry.link_name))
        for _ in range(_MAX_LINKS):
            if target not in links:
                break
            target = tuple(_parts(links[target].link_name))
        node = self._existing(target)
        if node is None or node.is_directory or node.layer != position:
            raise TocError(entry.name, f"hard link to {entry.link_name!r}, which is not there")
        return node


def walk(node: FileNode, path: str) -> Iterator[tuple[str, FileNode]]:
    """Everything below a directory with its path, each directory before what it holds, names sorted."""
    pending = [(path, node)]
    while pending:
        above, directory = pending.pop()
        if directory is not node:
            yield above, directory
        below = sorted(directory.children.items(), reverse=True)
        pending.extend((f"{above}/{name}".lstrip("/"), child) for name, child in below)


def _parts(name: str) -> list[str]:
    cleaned = clean_name(name)
    return cleaned.split("/") if cleaned else []


def _is_mark(parts: Sequence[str]) -> bool:
    if len(parts) == 1 and parts[0] in {PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK}:
        return True
    return bool(parts) and parts[-1].startswith(_WHITEOUT)
