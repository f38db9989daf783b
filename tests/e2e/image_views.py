"""An image as a snapshotter shows it, mounted where a test can read it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.ctr import Ctr


@contextlib.contextmanager
def mounted_image(ctr: Ctr, image: str, target: Path, *, snapshotter: str) -> Iterator[Path]:
    """Mount a read-only view of a pulled image at `target`, and take it away again.

    ctr holds a lease meanwhile: a bare snapshot would be garbage to containerd.
    """
    target.mkdir(parents=True)
    ctr("images", "mount", "--snapshotter", snapshotter, image, target)
    try:
        yield target
    finally:
        ctr("images", "unmount", "--snapshotter", snapshotter, "--rm", target)
