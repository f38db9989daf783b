from pathlib import Path

from fs.layer_source import LayerSource
from fs.layer_trees import FuseTrees
from tests.fs.in_process import layer_table


async def test_fuse_shows_every_layer_under_its_name(source: LayerSource, tmp_path: Path) -> None:
    trees = FuseTrees(tmp_path / "mnt")
    async with layer_table(tmp_path / "layers") as table:
        shown = await trees.show(await table.attach(source))
    assert shown == tmp_path / "mnt" / source.digest.file_name
    assert trees.is_shown(source.digest)
    assert repr(trees) == f"<FuseTrees {tmp_path / 'mnt'}>"
