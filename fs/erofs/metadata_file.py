"""The EROFS image of a layer's metadata, in the layer's directory."""

import os
from pathlib import Path

from fs.erofs.metadata_image import write_erofs
from fs.layer_image import LAYOUT_VERSION, LayerImage
from registry.digest import Digest

# The numbers change when an image would: one that was written before is not used any more then.
METADATA_NAME = f"meta-{LAYOUT_VERSION}-1.erofs"
_UUID_BYTES = 16


def write_metadata(image: LayerImage, directory: Path, *, layer: Digest) -> None:
    """Writes the image, as ``METADATA_NAME``; it blocks.

    Raises:
        UnrepresentableError: EROFS has no room for something.
        OSError: the disk is full or broken.
    """
    # It is mounted by a name that leads to all of it or to nothing, also after a loss of power.
    new = (directory / METADATA_NAME).with_suffix(".new")
    uuid = layer.raw[:_UUID_BYTES]
    with new.open("w+b") as output:
        write_erofs(image.inodes, output, data_bytes=image.data_bytes, uuid=uuid)
        output.flush()
        os.fdatasync(output.fileno())
    new.rename(directory / METADATA_NAME)
