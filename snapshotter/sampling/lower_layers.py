"""Which layer of an unpacked image a file comes from.

overlayfs lays the directories of the layers over each other, and so says the mount of every snapshot. A file belongs to the
topmost layer that has it, unless a layer above takes it away: with a whiteout (a character device 0:0) in its place
or in that of a directory above it, or by having such a directory that is opaque.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque")
_SAYS_YES: Final = b"y"


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A regular file as a layer has it; layer 0 is the lowest. The path is where the layer keeps it."""

    layer_index: int
    file_bytes: int
    path: Path


def lower_directories(options: Sequence[str]) -> tuple[Path, ...]:
    """The directories of the layers, the lowest first, from the options of an overlay's mount; none without them."""
    for option in options:
        key, _, value = option.partition("=")
        if key == "lowerdir":
            return tuple(Path(part) for part in reversed(value.split(":")) if part)
    return ()


def find_file(path: str, layers: Sequence[Path]) -> LayerFile | None:
    """The layer's file that a path leads to; None if no layer shows a regular file there.

    Args:
        path: relative to the root of the image, without symbolic links, as the kernel tells it.
        layers: the directories of the layers, the lowest first.
    """
    parts = path.split("/")
    for index in reversed(range(len(layers))):
        found = _find_in_layer(layers[index], parts)
        if isinstance(found, os.stat_result):
            if not stat.S_ISREG(found.st_mode):
                return None
            return LayerFile(index, found.st_size, layers[index] / path)
        if found:
            return None
    return None


def _find_in_layer(layer: Path, parts: Sequence[str]) -> os.stat_result | bool:
    """What the layer has there; without it, whether it hides what layers below have."""
    place, opaque = layer, False
    for depth, part in enumerate(parts, start=1):
        place /= part
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return opaque
        if depth == len(parts) and not _is_whiteout(found):
            return found
        if not stat.S_ISDIR(found.st_mode):
            return True
        opaque = opaque or _is_opaque(place)
    return opaque


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(directory: Path) -> bool:
    names = os.listxattr(directory, follow_symlinks=False)
    return any(
        os.getxattr(directory, name, follow_symlinks=False) == _SAYS_YES
        for name in _OPAQUE
        if name in names
    )
