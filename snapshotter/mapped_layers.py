"""Layers as a container with mapped users sees them: mounted once more, below its snapshot, with other owners.

containerd would do it itself, told by mount options ``uidmap=`` and ``gidmap=``. But from 2.1 on it maps the one directory that
all layers are in, and leaves out what is mounted, or linked to, in there: lazy layers would keep their owners.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fs.errors import MountError
from fs.mounting import mount_mapped, unmount_lazily
from snapshotter.errors import IdMappingError
from snapshotter.former_mounts import mounts_below
from snapshotter.id_mapping import IdMapping
from snapshotter.user_namespaces import user_namespace

_ADVICE: Final = (
    "layers that the kernel shows (backend erofs) can be mapped, those of FUSE cannot; without capability remap-ids "
    "for this plugin in its configuration containerd copies files to change their owners"
)


class MappedLayers:
    """Mounts with mapped owners. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def show(self, place: Path, layers: Sequence[Path], mapping: IdMapping) -> list[Path]:
        """Shows directories with mapped owners below ``place``, and tells where; what is there already stays.

        Raises:
            IdMappingError: one of them cannot be shown so; nothing of this call stays mounted.
            OSError: the disk is full or broken, or a layer is not there.
        """
        points = [place / str(number) for number in range(len(layers))]
        with self._lock:
            there = set(mounts_below(place))
            wanted = [
                (layer, point)
                for layer, point in zip(layers, points, strict=True)
                if point not in there or not _is_same(layer, point)
            ]
            if wanted:
                place.mkdir(mode=0o700, exist_ok=True)
                self._mount(wanted, mapping)
        return points

    def _mount(self, wanted: Sequence[tuple[Path, Path]], mapping: IdMapping) -> None:
        done: list[Path] = []
        with user_namespace(uid_map=mapping.uid_map, gid_map=mapping.gid_map) as namespace:
            try:
                for layer, point in wanted:
                    point.mkdir(mode=0o700, exist_ok=True)
                    unmount_lazily(point)
                    mount_mapped(layer, point, namespace)
                    done.append(point)
            except MountError as error:
                for point in done:
                    unmount_lazily(point)
                raise IdMappingError(f"{error.subject}: {error.reason}; {_ADVICE}") from error


def _is_same(layer: Path, point: Path) -> bool:
    """Whether what is mounted is the layer as it is served now."""
    try:
        return layer.samefile(point)
    except OSError:  # of a server that is gone
        return False
