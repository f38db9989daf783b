from pathlib import Path

import pytest

from estargz.toc import Toc
from fs.compiling import compile_layer
from fs.erofs.metadata_file import METADATA_NAME, write_metadata
from fs.errors import UnrepresentableError
from registry.digest import Digest
from tests.fs.erofs_images import check_image
from tests.fs.layers_by_hand import entry

LAYER = Digest.of(b"layer")


def test_an_image_is_whole_and_bears_its_layers_digest(tmp_path: Path) -> None:
    image = compile_layer(Toc(entries=[entry("directory", "dir")]), payload_bytes=10)
    write_metadata(image, tmp_path, layer=LAYER)
    assert [path.name for path in tmp_path.iterdir()] == [METADATA_NAME]
    assert LAYER.raw[:16] in (tmp_path / METADATA_NAME).read_bytes()
    (tmp_path / "data").touch()
    check_image(tmp_path / METADATA_NAME, tmp_path / "data")


def test_what_cannot_be_written_has_no_name(tmp_path: Path) -> None:
    too_much = entry("f", xattrs={"user.large": bytes(1 << 16)})
    image = compile_layer(Toc(entries=[too_much]), payload_bytes=10)
    with pytest.raises(UnrepresentableError):
        write_metadata(image, tmp_path, layer=LAYER)
    assert not (tmp_path / METADATA_NAME).exists()
