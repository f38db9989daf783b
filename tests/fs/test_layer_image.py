from pathlib import Path

import pytest

from estargz.codec import Codec
from estargz.toc import NO_PREFETCH_LANDMARK, Toc
from fs.compiling import compile_layer
from fs.errors import LayerStateError
from fs.inodes import ROOT
from fs.layer_image import CHUNKS_NAME, TREE_NAME, map_image, save_image
from tests.fs.layers_by_hand import HandmadeBlob, entry

SOURCE = bytes(32)


@pytest.mark.parametrize("landmark", [True, False])
def test_a_mapped_image_is_the_compiled_one(tmp_path: Path, landmark: bool) -> None:  # noqa: FBT001
    blob = HandmadeBlob(Codec.ZSTD)
    blob.entries += [entry(NO_PREFETCH_LANDMARK)] if landmark else []
    blob.add_file("dir/file", bytes(10000), chunk_bytes=4096, xattrs={"user.a": b"1"})
    blob.entries.append(entry("link", "symlink", link_name="dir/file"))
    compiled = compile_layer(
        Toc(entries=blob.entries), payload_bytes=len(blob.data), codec=Codec.ZSTD
    )
    save_image(compiled, tmp_path, source=SOURCE)
    mapped = map_image(tmp_path, source=SOURCE, codec=Codec.ZSTD)
    assert mapped.inodes.sections == compiled.inodes.sections
    assert mapped.chunks.sections == compiled.chunks.sections
    assert mapped.data_bytes == compiled.data_bytes == 3 * 4096
    assert mapped.prefetch_end == compiled.prefetch_end == (0 if landmark else None)
    assert mapped.codec is Codec.ZSTD
    assert mapped.inodes.target(mapped.inodes.lookup(ROOT, b"link")) == b"dir/file"


def test_nothing_but_the_two_files_is_left(tmp_path: Path) -> None:
    save_image(compile_layer(Toc(), payload_bytes=1), tmp_path, source=SOURCE)
    assert {path.name for path in tmp_path.iterdir()} == {TREE_NAME, CHUNKS_NAME}


@pytest.mark.parametrize("name", [TREE_NAME, CHUNKS_NAME])
def test_half_an_image_is_none(tmp_path: Path, name: str) -> None:
    save_image(compile_layer(Toc(), payload_bytes=1), tmp_path, source=SOURCE)
    (tmp_path / name).unlink()
    with pytest.raises(LayerStateError, match=name):
        map_image(tmp_path, source=SOURCE, codec=Codec.GZIP)
