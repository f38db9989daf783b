"""Compilations of a small layer."""

from pathlib import Path

from estargz.codec import Codec
from estargz.toc import Toc, dump_toc
from fs.compilation import Compilation
from fs.layer_directory import LayerRecord
from registry.digest import Digest
from tests.fs.layers_by_hand import entry

LAYER = Digest.of(b"layer")
RAW_TOC = dump_toc(Toc(entries=[entry("a", "dir"), entry("b", "dir")]))
BAD_TOC = dump_toc(Toc(entries=[entry("strange", "unheard-of")]))
WITH_LARGE_XATTR = dump_toc(Toc(entries=[entry("f", xattrs={"user.large": bytes(1 << 16)})]))


def compilation(
    directory: Path | str, raw_toc: bytes = RAW_TOC, *, is_shown_by_erofs: bool = True
) -> Compilation:
    record = LayerRecord(
        reference="localhost/image:1",
        layer_digest=str(LAYER),
        toc_digest=str(Digest.of(raw_toc)),
        codec=Codec.GZIP,
        payload_bytes=10,
        blob_bytes=100,
    )
    return Compilation(record=record, directory=str(directory), is_shown_by_erofs=is_shown_by_erofs)


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}
