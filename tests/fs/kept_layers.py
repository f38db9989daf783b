"""Keeping a layer that was compiled in the test's own process."""

from fs.layer_directory import LayerDirectories, LayerRecord, write_layer
from fs.layer_image import LayerImage
from registry.digest import Digest


def keep(
    directories: LayerDirectories, record: LayerRecord, raw_toc: bytes, image: LayerImage
) -> None:
    new = directories.begin()
    write_layer(new, record=record, raw_toc=raw_toc, image=image)
    directories.put(Digest.parse(record.layer_digest), new)
