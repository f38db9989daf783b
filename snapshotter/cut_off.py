"""Containers that lost their layers: whoever served these ended, and nobody can take their place. Pure.

It is told by the age of mounts, which the kernel lists in order. A container's overlayfs holds the layers as they were
mounted when it was made. Content that is served comes through one mount of the fs server's, which is made anew only when the
old one could not be gone on with: an overlay older than it reads from nobody. A layer that was mounted on its complete
content before the overlay was made needs nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fs.erofs.data_connection import data_mountpoint
from fs.erofs.trees import mountpoints_of
from fs.layer_source import LayerSource
from fs.mounting import Mount
from registry.digest import Digest
from snapshotter.labels import REMOTE, parse_source
from snapshotter.records import Record

_UPPER = "upperdir="


@dataclass(frozen=True, slots=True)
class CutOff:
    """A container's snapshot that is mounted, and can read only what the kernel has cached.

    Attributes:
        snapshot: Its key, as containerd gave it.
        layers: Those that it lost.
    """

    snapshot: str
    layers: tuple[Digest, ...]


def cut_off_snapshots(
    mounts: Sequence[Mount], records: Iterable[Record], *, fs_root: Path, snapshots: Path
) -> list[CutOff]:
    """The snapshots whose containers must be started again, by key.

    Args:
        mounts: All there are, the oldest first.
        records: All snapshots.
        fs_root: The fs server's directory; it must be running, or what it will go on with counts as lost.
        snapshots: What the snapshots' directories are in.
    """
    # The latest of those at one place is what is seen there.
    ages = {mount.point: age for age, mount in enumerate(mounts)}
    overlays = _overlays(mounts)
    by_name = {record.name: record for record in records}
    found = []
    for record in by_name.values():
        overlay = overlays.get(snapshots / str(record.id) / "fs")
        if overlay is not None:
            lazy = _lazy_layers(record, by_name)
            lost = tuple(digest for digest in lazy if _is_lost(digest, overlay, ages, fs_root))
            if lost:
                found.append(CutOff(record.name, lost))
    return sorted(found, key=lambda one: one.snapshot)


def _overlays(mounts: Sequence[Mount]) -> dict[Path, int]:
    """When each overlay was mounted first, by the directory that it writes to: binds of it come later."""
    overlays: dict[Path, int] = {}
    for age, mount in enumerate(mounts):
        for option in mount.options if mount.kind == "overlay" else ():
            if option.startswith(_UPPER):
                overlays.setdefault(Path(option.removeprefix(_UPPER)), age)
    return overlays


def _lazy_layers(record: Record, by_name: Mapping[str, Record]) -> Iterable[Digest]:
    above: Record | None = record
    while above is not None:
        source = parse_source(above.labels)
        if REMOTE in above.labels and isinstance(source, LayerSource):
            yield source.digest
        above = by_name.get(above.parent)


def _is_lost(digest: Digest, overlay: int, ages: Mapping[Path, int], fs_root: Path) -> bool:
    served, local = mountpoints_of(fs_root, digest)
    if ages.get(local, overlay) < overlay:
        return False
    by_kernel = served in ages or local in ages
    server = data_mountpoint(fs_root) if by_kernel else fs_root / "mnt"
    return overlay < ages.get(server, overlay + 1)
