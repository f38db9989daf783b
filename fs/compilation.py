"""One compilation: from a verified TOC to a layer's directory, whichever process does it."""

import contextlib
import time
from pathlib import Path

import msgspec

from estargz.toc import parse_toc
from fs.compiling import compile_layer
from fs.erofs.metadata_file import write_metadata
from fs.errors import UnrepresentableError
from fs.layer_directory import LayerRecord, write_layer
from registry.digest import Digest


class Compilation(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made of a TOC.

    Attributes:
        record: what is known of the layer.
        directory: a new directory, for all that the layer's will have.
        is_shown_by_erofs: whether an image for the kernel is among it, if EROFS can show the layer.
    """

    record: LayerRecord
    directory: str
    is_shown_by_erofs: bool

    def carry_out(self, raw_toc: bytes) -> float:
        """Compiles a TOC, and tells how many seconds of that its JSON took. It costs CPU in proportion to its size, and blocks on the disk.

        Raises:
            TocError: an entry breaks a rule; it is named.
            OSError: the disk is full or broken.
        """
        record, directory = self.record, Path(self.directory)
        begin = time.perf_counter()
        toc = parse_toc(raw_toc)
        parse_seconds = time.perf_counter() - begin
        image = compile_layer(toc, payload_bytes=record.payload_bytes, codec=record.codec)
        write_layer(directory, record=record, raw_toc=raw_toc, image=image)
        if self.is_shown_by_erofs:
            with contextlib.suppress(UnrepresentableError):  # who mounts the layer finds out why
                write_metadata(image, directory, layer=Digest.parse(record.layer_digest))
        return parse_seconds
