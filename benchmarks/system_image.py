"""An image of several hundred MB out of this machine's own files: programs, libraries, scripts, documents.

What is measured with it is compared within one run, so it need not be the same on two machines.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.oci_layout import write_image, write_layer

_ROOTS: Final = (Path("/usr/bin"), Path("/usr/lib"), Path("/usr/share"), Path("/opt"))
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SystemImage:
    """The only image of an OCI layout, with gzip layers."""

    layout: Path
    layers: int
    tar_bytes: int
    blob_bytes: int


def build(layout: Path, *, layers: int, layer_bytes: int) -> SystemImage:
    """Fills layers of about the same size, one after the other."""
    files = _files()
    written = [
        write_layer(layout, lambda tar: _fill(tar, files, layer_bytes)) for _ in range(layers)
    ]
    write_image(layout, written, {"Cmd": ["true"]})
    return SystemImage(
        layout,
        layers,
        sum(layer.tar_bytes for layer in written),
        sum(layer.descriptor["size"] for layer in written),
    )


def archive(layout: Path, path: Path) -> None:
    """Packs a layout as an OCI archive."""
    with tarfile.open(path, "w") as tar:
        for part in ("oci-layout", "index.json", "blobs"):
            tar.add(layout / part, part)


def _files(roots: Sequence[Path] = _ROOTS) -> Iterator[Path]:
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() or path.is_symlink():
                yield path


def _fill(tar: tarfile.TarFile, files: Iterator[Path], size: int) -> None:
    for path in files:
        tar.add(path, recursive=False)
        if tar.offset >= size:
            return
    raise RuntimeError(f"this machine has too few files for layers of {size // _MB} MB")
