"""How a snapshot is mounted: decided from directories alone, without any I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Kind(IntEnum):
    """What a snapshot is; the numbers are those of containerd's API."""

    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3


@dataclass(frozen=True, slots=True)
class Mount:
    """A call of mount(2) that containerd makes."""

    type: str
    source: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotDirectory:
    """Where one snapshot lies.

    Attributes:
        path: The directory, named by the snapshot's number. Numbers are short, so that the options of an
            overlay of 128 layers fit into the page that mount(2) allows.
    """

    path: Path

    @property
    def fs(self) -> Path:
        """Its files; for a lazily served layer a link to where the fs server shows them."""
        return self.path / "fs"

    @property
    def lower(self) -> Path:
        """Where the layers below are shown with other owners, if they are."""
        return self.path / "lower"

    @property
    def work(self) -> Path:
        """What overlayfs needs for itself."""
        return self.path / "work"


def plan_mounts(
    kind: Kind,
    own: SnapshotDirectory,
    layers: Sequence[Path],
    overlay_options: Sequence[str] = (),
) -> list[Mount]:
    """The mounts of an active snapshot or a view over layers, the nearest first."""
    read_only = kind is Kind.VIEW
    if not layers:
        return [_bind(own.fs, "ro" if read_only else "rw")]
    if read_only and len(layers) == 1:
        return [_bind(layers[0], "ro")]
    lower = "lowerdir=" + ":".join(map(str, layers))
    upper = () if read_only else (f"workdir={own.work}", f"upperdir={own.fs}")
    return [Mount("overlay", "overlay", (*upper, lower, *overlay_options))]


def _bind(directory: Path, mode: str) -> Mount:
    return Mount("bind", str(directory), (mode, "rbind"))
