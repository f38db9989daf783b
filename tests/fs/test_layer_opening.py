"""What is kept opens again without a request, and what is damaged is made again from what is not."""

from pathlib import Path

import pytest

from fs.errors import StaleLayerError
from fs.layer_source import LayerSource
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import CONTENT, layer_table, read_file


async def fill(source: LayerSource, root: Path) -> None:
    async with layer_table(root) as table:
        assert await read_file(await table.attach(source)) == CONTENT


def damage(root: Path, name: str) -> None:
    (file,) = root.rglob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("names", [["tree"], ["chunks"], ["tree", "chunks"], []])
async def test_a_damaged_image_is_compiled_again_and_costs_nothing(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path, names: list[str]
) -> None:
    await fill(source, tmp_path)
    asked = len(fake.requests)
    for name in names:
        damage(tmp_path, name)
    await fill(source, tmp_path)
    assert len(fake.requests) == asked


async def test_a_damaged_toc_harms_nobody_while_the_image_is_right(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    await fill(source, tmp_path)
    asked = len(fake.requests)
    damage(tmp_path, "toc.json.zst")
    await fill(source, tmp_path)
    assert len(fake.requests) == asked


async def test_a_damaged_toc_is_fetched_anew_and_content_stays(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    await fill(source, tmp_path)
    damage(tmp_path, "toc.json.zst")
    damage(tmp_path, "tree")
    asked = fake.count("blob")
    await fill(source, tmp_path)
    assert fake.count("blob") == asked + 1
    damage(tmp_path, "tree")
    await fill(source, tmp_path)
    assert fake.count("blob") == asked + 1


async def test_a_damaged_record_is_as_no_layer(source: LayerSource, tmp_path: Path) -> None:
    await fill(source, tmp_path)
    damage(tmp_path, "layer.json")
    async with layer_table(tmp_path) as table:
        with pytest.raises(StaleLayerError):
            await table.find(source.digest.file_name.encode())
        assert await read_file(await table.attach(source)) == CONTENT
