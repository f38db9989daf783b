from pathlib import Path

import pytest

from estargz.codec import Codec
from estargz.toc import Toc
from fs.compiling import compile_layer
from fs.errors import LayerStateError
from fs.layer_directory import RECORD_VERSION, LayerDirectories, LayerRecord
from registry.digest import Digest
from tests.fs.kept_layers import keep

LAYER = Digest.of(b"layer")
TOC = b'{"version":1,"entries":[]}' * 100
IMAGE = compile_layer(Toc(), payload_bytes=10)


def record(toc: bytes = TOC, *, version: int = RECORD_VERSION) -> LayerRecord:
    return LayerRecord(
        reference="localhost/image:1",
        layer_digest=str(LAYER),
        toc_digest=str(Digest.of(toc)),
        codec=Codec.ZSTD,
        payload_bytes=10,
        blob_bytes=100,
        version=version,
    )


def save(directories: LayerDirectories) -> None:
    keep(directories, record(), TOC, IMAGE)


@pytest.fixture
def directories(tmp_path: Path) -> LayerDirectories:
    return LayerDirectories(tmp_path / "layers")


def test_a_kept_layer_comes_back(directories: LayerDirectories) -> None:
    assert not directories.exists(LAYER)
    save(directories)
    assert directories.exists(LAYER)
    assert directories.kept() == [LAYER]
    assert directories.load_record(LAYER) == record()
    assert directories.load_toc(LAYER, record()) == TOC
    assert len(directories.map_image(LAYER, record()).inodes) == 1


def test_keeping_again_replaces_all(directories: LayerDirectories) -> None:
    save(directories)
    (directories.path(LAYER) / "data").write_bytes(b"old")
    keep(directories, record(b"new"), b"new", IMAGE)
    assert directories.load_toc(LAYER, record(b"new")) == b"new"
    assert not (directories.path(LAYER) / "data").exists()


def test_removing_leaves_nothing(directories: LayerDirectories, tmp_path: Path) -> None:
    save(directories)
    directories.remove(LAYER)
    directories.remove(LAYER)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("damage", [b"{", b"null", b""])
def test_a_damaged_record_is_named(directories: LayerDirectories, damage: bytes) -> None:
    save(directories)
    (directories.path(LAYER) / "layer.json").write_bytes(damage)
    with pytest.raises(LayerStateError, match=LAYER.hex):
        directories.load_record(LAYER)


def test_a_record_of_another_version_is_named(directories: LayerDirectories) -> None:
    keep(directories, record(version=99), TOC, IMAGE)
    with pytest.raises(LayerStateError, match="version 99"):
        directories.load_record(LAYER)


@pytest.mark.parametrize("damage", ["garbage", "missing", "another"])
def test_a_damaged_toc_is_named_and_can_be_replaced(
    directories: LayerDirectories, damage: str
) -> None:
    save(directories)
    toc = directories.path(LAYER) / "toc.json.zst"
    match damage:
        case "garbage":
            toc.write_bytes(b"garbage")
        case "missing":
            toc.unlink()
        case _:
            directories.replace_toc(LAYER, b"another")
    with pytest.raises(LayerStateError, match=LAYER.hex):
        directories.load_toc(LAYER, record())
    directories.replace_toc(LAYER, TOC)
    assert directories.load_toc(LAYER, record()) == TOC


def test_an_image_of_something_else_is_not_used(directories: LayerDirectories) -> None:
    save(directories)
    with pytest.raises(LayerStateError, match=LAYER.hex):
        directories.map_image(LAYER, record(b"another"))
    directories.replace_image(LAYER, record(b"another"), IMAGE)
    assert len(directories.map_image(LAYER, record(b"another")).inodes) == 1


def test_leftovers_of_a_crash_go_at_the_next_start(tmp_path: Path) -> None:
    leftover = tmp_path / "new-abc"
    leftover.mkdir()
    (leftover / "layer.json").touch()
    LayerDirectories(tmp_path)
    assert not leftover.exists()
