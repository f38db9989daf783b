"""A file tree that becomes the layers of an image, step by step, as image builders make them."""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.e2e.oci_layout import WrittenLayer, read_manifest, write_layer
from tests.e2e.specimens import EPOCH

_Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An OCI layout with one image in it."""

    layout: Path

    @property
    def layer_digests(self) -> list[str]:
        """The digests of the layers, lowest first."""
        return [layer["digest"] for layer in read_manifest(self.layout)["layers"]]

    @property
    def layer_bytes(self) -> int:
        """The sum of the layers' sizes, compressed."""
        return sum(layer["size"] for layer in read_manifest(self.layout)["layers"])


def cached_layout(cache: Path, name: str, inputs: list[str]) -> Path:
    """Return where an image with these inputs is kept, or will be."""
    key = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]
    return cache / f"{name}-{key}"


def cached_image(
    cache: Path, name: str, inputs: list[str], build: Callable[[Path, Path], None]
) -> BuiltImage:
    """Return an image that is built once for the same name and inputs.

    Args:
        cache: where built images are kept.
        name: what its directory's name begins with.
        inputs: whatever the image depends on.
        build: makes it, given a directory to work in and that of the layout.
    """
    layout = cached_layout(cache, name, inputs)
    if layout.exists():
        return BuiltImage(layout)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            work = Path(tempfile.mkdtemp(prefix="work-", dir=cache))
            try:
                build(work, work / "layout")
                (work / "layout").rename(layout)
            finally:
                shutil.rmtree(work)
    return BuiltImage(layout)


class LayeredTree:
    """A tree below `root`; each layer holds what changed since the one before."""

    def __init__(self, root: Path, layout: Path) -> None:
        self.root = root
        self._layout = layout
        self._before: dict[Path, _Signature] = {}
        self.layers: list[WrittenLayer] = []

    def add_layer(self) -> None:
        """Write what is new or different into a layer."""
        _settle_times(self.root)
        after = _signatures(self.root)
        self.layers.append(
            write_layer(self._layout, partial(self._fill, after=after, before=self._before))
        )
        self._before = after

    def _fill(
        self, tar: tarfile.TarFile, *, after: dict[Path, _Signature], before: dict[Path, _Signature]
    ) -> None:
        """Add what changed, below all its parents, as image builders do."""
        changed = {path for path, signature in after.items() if before.get(path) != signature}
        wanted = changed | {parent for path in changed for parent in path.parents}
        for path in after:
            if path not in wanted:
                continue
            info = tar.gettarinfo(path, arcname=str(path.relative_to(self.root)))
            info.uname = info.gname = ""
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)


def _signatures(root: Path) -> dict[Path, _Signature]:
    found = {}
    for path in _walk(root):
        status = path.lstat()
        found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def _walk(root: Path) -> list[Path]:
    """Return everything below `root`, parents first, in an order that does not depend on the filesystem."""
    return sorted(Path(top) / name for top, dirs, files in os.walk(root) for name in dirs + files)


def _settle_times(root: Path) -> None:
    """Give whatever this build itself made or touched one fixed time: the same packages make the same layers."""
    for path in _walk(root):
        status = path.lstat()
        if status.st_mtime_ns % 1_000_000_000:  # archives hold whole seconds
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
