from pathlib import Path

import pytest

from estargz.errors import TocError
from fs.erofs.metadata_file import METADATA_NAME
from fs.inodes import ROOT
from fs.layer_directory import LayerDirectories
from tests.fs.compilations import BAD_TOC, LAYER, RAW_TOC, WITH_LARGE_XATTR, compilation, files


def test_what_is_compiled_is_a_layers_directory(tmp_path: Path) -> None:
    directories = LayerDirectories(tmp_path)
    work = compilation(directories.begin())
    work.carry_out(RAW_TOC)
    directories.put(LAYER, Path(work.directory))
    assert directories.load_record(LAYER) == work.record
    assert directories.load_toc(LAYER, work.record) == RAW_TOC
    inodes = directories.map_image(LAYER, work.record).inodes
    assert [name for name, _ in inodes.entries(ROOT)] == [b"a", b"b"]
    assert (directories.path(LAYER) / METADATA_NAME).exists()


@pytest.mark.parametrize(
    ("raw_toc", "is_shown_by_erofs"),
    [(RAW_TOC, False), (WITH_LARGE_XATTR, True)],
    ids=["not wanted", "not possible"],
)
def test_there_is_no_image_for_the_kernel_where_it_is_no_use(
    tmp_path: Path, raw_toc: bytes, *, is_shown_by_erofs: bool
) -> None:
    compilation(tmp_path, raw_toc, is_shown_by_erofs=is_shown_by_erofs).carry_out(raw_toc)
    assert METADATA_NAME not in files(tmp_path)
    assert "tree" in files(tmp_path)


def test_a_toc_that_breaks_a_rule_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TocError, match="strange"):
        compilation(tmp_path, BAD_TOC).carry_out(BAD_TOC)
    assert files(tmp_path) == {}
