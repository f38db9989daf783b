from pathlib import Path

from fs.checkpoints import save_all
from fs.layer_source import LayerSource
from fs.present_file import PRESENT_NAME
from tests.fs.in_process import layer_table, read_file


def present_file(root: Path) -> Path:
    (record,) = root.rglob("layer.json")
    return record.with_name(PRESENT_NAME)


async def test_progress_is_saved_once(source: LayerSource, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        await read_file(layer)
        assert not present_file(tmp_path).exists()
        await save_all([layer])
        assert present_file(tmp_path).exists()
        assert layer.store.take_unsaved() is None


async def test_a_disk_that_takes_nothing_is_tried_again(
    source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        await read_file(layer)
        obstacle = present_file(tmp_path)
        obstacle.mkdir()
    assert obstacle.is_dir()
    obstacle.rmdir()
    async with layer_table(tmp_path) as table:
        layer = await table.find(source.digest.file_name.encode())
        assert layer.store.is_empty
        await read_file(layer)
    assert obstacle.is_file()


async def test_the_time_of_the_last_use_outlives_the_process(
    source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        await read_file(layer)
        layer.last_used += 1000
        used = layer.last_used
    async with layer_table(tmp_path) as table:
        assert (await table.find(source.digest.file_name.encode())).last_used == used
