"""An image as containerd's snapshotters show it, mounted where a test can read it."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.ctr import Ctr, new_container_id, run_command
from tests.e2e.images import BuiltImage
from tests.e2e.oci_layout import read_blob, read_manifest


def chain_id(diff_ids: list[str]) -> str:
    """Return the name of the snapshot that holds these layers on top of each other."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
    return chain


def image_diff_ids(image: BuiltImage) -> list[str]:
    """Return the digests of an image's layers, uncompressed."""
    config = read_blob(image.layout, read_manifest(image.layout)["config"]["digest"])
    return list(json.loads(config)["rootfs"]["diff_ids"])


@contextlib.contextmanager
def mounted_image(ctr: Ctr, image: BuiltImage, target: Path, *, snapshotter: str) -> Iterator[Path]:
    """Mount a read-only view of an unpacked image at `target`, and take it away again."""
    with mounted_snapshot(ctr, chain_id(image_diff_ids(image)), target, snapshotter=snapshotter):
        yield target


@contextlib.contextmanager
def mounted_snapshot(ctr: Ctr, parent: str, target: Path, *, snapshotter: str) -> Iterator[Path]:
    """Mount a read-only view of a committed snapshot at `target`, and take it away again."""
    key = new_container_id("view")
    target.mkdir(parents=True)
    command = ctr(
        "snapshots", "--snapshotter", snapshotter, "view", "--target", target, key, parent
    )
    try:
        run_command(command.split())
        try:
            yield target
        finally:
            run_command(["umount", target])
    finally:
        ctr("snapshots", "--snapshotter", snapshotter, "rm", key)
