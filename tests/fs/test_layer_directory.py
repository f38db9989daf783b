from pathlib import Path

import pytest

from estargz.codec import Codec
from fs.errors import LayerStateError
from fs.layer_directory import RECORD_VERSION, LayerDirectories, LayerRecord
from registry.digest import Digest

LAYER = Digest.of(b"layer")
TOC = b'{"version":1,"entries":[]}' * 100


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


@pytest.fixture
def directories(tmp_path: Path) -> LayerDirectories:
    return LayerDirectories(tmp_path / "layers")


def test_a_kept_layer_comes_back(directories: LayerDirectories) -> None:
    assert not directories.exists(LAYER)
    directories.save(LAYER, record(), TOC)
    assert directories.exists(LAYER)
    assert directories.load(LAYER) == (record(), TOC)


def test_keeping_again_replaces_all(directories: LayerDirectories) -> None:
    directories.save(LAYER, record(), TOC)
    (directories.path(LAYER) / "data").write_bytes(b"old")
    directories.save(LAYER, record(b"new"), b"new")
    assert directories.load(LAYER)[1] == b"new"
    assert not (directories.path(LAYER) / "data").exists()


def test_removing_leaves_nothing(directories: LayerDirectories, tmp_path: Path) -> None:
    directories.save(LAYER, record(), TOC)
    directories.remove(LAYER)
    directories.remove(LAYER)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("damage", ["toc", "record", "version", "other toc", "missing"])
def test_damage_is_noticed_and_named(directories: LayerDirectories, damage: str) -> None:
    directories.save(LAYER, record(version=99) if damage == "version" else record(), TOC)
    directory = directories.path(LAYER)
    match damage:
        case "toc":
            (directory / "toc.json.zst").write_bytes(b"garbage")
        case "record":
            (directory / "layer.json").write_text("{")
        case "missing":
            (directory / "toc.json.zst").unlink()
        case "other toc":
            directories.save(LAYER, record(b"another"), TOC)
        case _:
            assert damage == "version"
    with pytest.raises(LayerStateError, match=LAYER.hex):
        directories.load(LAYER)


def test_leftovers_of_a_crash_go_at_the_next_start(tmp_path: Path) -> None:
    leftover = tmp_path / "new-abc"
    leftover.mkdir()
    (leftover / "layer.json").touch()
    LayerDirectories(tmp_path)
    assert not leftover.exists()
