import os
from pathlib import Path

import pytest

from snapshotter.sampling.lower_layers import LayerFile, find_file, lower_directories


def test_the_lowest_directory_comes_first() -> None:
    options = ["index=off", "workdir=/w", "upperdir=/u", "lowerdir=/top:/middle:/lowest"]
    assert lower_directories(options) == (Path("/lowest"), Path("/middle"), Path("/top"))
    assert lower_directories(["rw", "rbind"]) == ()


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for layer in (lower, upper):
        (layer / "d" / "e").mkdir(parents=True)
    (lower / "d" / "e" / "f").write_text("lower")
    return lower, upper


def test_the_topmost_layer_counts(layers: tuple[Path, Path]) -> None:
    assert find_file("d/e/f", layers) == LayerFile(0, 5, layers[0] / "d/e/f")
    (layers[1] / "d" / "e" / "f").write_text("up")
    assert find_file("d/e/f", layers) == LayerFile(1, 2, layers[1] / "d/e/f")
    assert find_file("d/e/g", layers) is None
    assert find_file("d/e/f/g", layers) is None


def test_only_regular_files(layers: tuple[Path, Path]) -> None:
    assert find_file("d/e", layers) is None
    (layers[1] / "d" / "e" / "f").symlink_to("elsewhere")
    assert find_file("d/e/f", layers) is None


def test_a_whiteout_hides_what_is_below_it(layers: tuple[Path, Path]) -> None:
    os.mknod(layers[1] / "d" / "e" / "f", 0o020000, os.makedev(0, 0))
    assert find_file("d/e/f", layers) is None


def test_a_whiteout_of_a_directory(layers: tuple[Path, Path]) -> None:
    (layers[1] / "d" / "e").rmdir()
    os.mknod(layers[1] / "d" / "e", 0o020000, os.makedev(0, 0))
    assert find_file("d/e/f", layers) is None


def test_a_file_in_place_of_a_directory(layers: tuple[Path, Path]) -> None:
    (layers[1] / "d" / "e").rmdir()
    (layers[1] / "d" / "e").write_text("")
    assert find_file("d/e/f", layers) is None


@pytest.mark.fuse
def test_an_opaque_directory_hides_what_is_below_it(layers: tuple[Path, Path]) -> None:
    (layers[1] / "d" / "e" / "new").write_text("")
    os.setxattr(layers[1] / "d", "trusted.overlay.opaque", b"y")
    assert find_file("d/e/f", layers) is None
    assert find_file("d/e/new", layers) == LayerFile(1, 0, layers[1] / "d/e/new")
