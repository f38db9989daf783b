from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from fs.cache_usage import CacheSettings
from fs.erofs.data_connection import data_mountpoint
from fs.erofs.metadata_file import METADATA_NAME
from fs.erofs.mounts import Access
from fs.erofs.trees import ErofsTrees
from fs.kernel_pins import is_pinned_for_kernel
from fs.layer_directory import LayerDirectories
from fs.layer_source import LayerSource
from fs.layer_trees import FuseTrees
from fs.layers import LayerTable
from fs.mounting import mountpoints_below
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import CONTENT, UNBOUNDED, layer_table, push, read_file
from tests.fs.in_process_mounts import erofs_trees, read
from tests.fs.layers_by_hand import HandmadeBlob, entry

pytestmark = pytest.mark.fuse


@dataclass(frozen=True)
class Shown:
    trees: ErofsTrees
    table: LayerTable
    root: Path


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    async with showing(tmp_path, UNBOUNDED) as shown:
        yield shown


@asynccontextmanager
async def showing(tmp_path: Path, caching: CacheSettings) -> AsyncIterator[Shown]:
    async with (
        layer_table(tmp_path / "layers", caching=caching) as table,
        erofs_trees(table, tmp_path) as trees,
    ):
        yield Shown(trees, table, tmp_path)


def mounted(root: Path, place: str) -> list[Path]:
    return mountpoints_below(root / place)


async def test_a_layer_is_mounted_once_and_taken_away(shown: Shown, source: LayerSource) -> None:
    layer = await shown.table.attach(source)
    assert not shown.trees.is_shown(layer.digest)
    directory = await shown.trees.show(layer)
    assert await shown.trees.show(layer) == directory
    assert shown.trees.is_shown(layer.digest)
    assert len(mounted(shown.root, "erofs")) == 1
    assert await read(directory / "file") == CONTENT
    await shown.trees.hide(layer.digest)
    assert not shown.trees.is_shown(layer.digest)
    assert mounted(shown.root, "erofs") == []
    assert not directory.is_symlink()


async def test_a_complete_layer_is_mounted_on_its_local_content(
    shown: Shown, source: LayerSource
) -> None:
    layer = await shown.table.attach(source)
    directory = await shown.trees.show(layer)
    file = await trio.to_thread.run_sync((directory / "file").open, "rb")
    await read_file(layer)
    assert layer.store.is_complete
    assert await shown.trees.show(layer) == directory
    assert mounted(shown.root, "erofs") == []
    assert len(mounted(shown.root, "local")) == 1
    assert await read(directory / "file") == CONTENT
    assert await trio.to_thread.run_sync(file.read) == CONTENT  # who has the former mount keeps it
    file.close()
    assert await shown.trees.show(layer) == directory


def held(root: Path) -> list[int]:
    """How many descriptors and threads this process has, and how many loop devices and mounts lead to a directory."""
    devices = Path("/sys/block").glob("loop*/loop/backing_file")
    loops = [device for device in devices if str(root) in device.read_text()]
    mounts = [
        line for line in Path("/proc/self/mountinfo").read_text().split() if str(root) in line
    ]
    counts = [len(list(Path(f"/proc/self/{name}").iterdir())) for name in ("fd", "task")]
    return [*counts, len(loops), len(mounts)]


@pytest.mark.parametrize("access", Access)
async def test_mounting_again_and_again_leaks_nothing(
    shown: Shown, source: LayerSource, access: Access
) -> None:
    shown.trees._access = access
    layer = await shown.table.attach(source)

    async def cycle() -> None:
        assert await read(await shown.trees.show(layer) / "file") == CONTENT
        await shown.trees.hide(layer.digest)

    for _ in range(5):  # by then there are as many worker threads as it takes
        await cycle()
    before = held(shown.root)
    for _ in range(200 if access is Access.FILES else 20):
        await cycle()
    # Worker threads and idle connections come and go; one of anything in each cycle would be seen.
    assert all(now - then < 10 for now, then in zip(held(shown.root), before, strict=True))
    assert held(shown.root)[2:] == before[2:]


async def test_a_complete_layer_stays_evictable_while_there_is_little_room(
    source: LayerSource, tmp_path: Path
) -> None:
    async with showing(tmp_path, CacheSettings(max_bytes=len(CONTENT) + 100)) as shown:
        layer = await shown.table.attach(source)
        await read_file(layer)
        assert layer.store.is_complete
        assert await read(await shown.trees.show(layer) / "file") == CONTENT
        assert mounted(shown.root, "local") == []
        assert not is_pinned_for_kernel(LayerDirectories(tmp_path / "layers").path(layer.digest))


async def test_what_erofs_has_no_room_for_is_left_to_fuse(shown: Shown, fake: FakeRegistry) -> None:
    blob = HandmadeBlob()
    blob.entries.append(entry("f", xattrs={"user.large": bytes(1 << 16)}))
    layer = await shown.table.attach(push(blob, fake))
    assert await shown.trees.show(layer) == shown.root / "mnt" / layer.digest.file_name
    assert shown.trees.is_shown(layer.digest)
    assert mounted(shown.root, "erofs") == []


async def test_an_image_that_was_not_finished_is_written_again(
    shown: Shown, source: LayerSource
) -> None:
    layer = await shown.table.attach(source)
    directory = LayerDirectories(shown.root / "layers").path(layer.digest)
    leftover = (directory / METADATA_NAME).with_suffix(".new")
    leftover.write_bytes(b"cut off")
    assert await read(await shown.trees.show(layer) / "file") == CONTENT
    assert not leftover.exists()


async def test_mounts_that_nobody_serves_are_made_anew(shown: Shown, source: LayerSource) -> None:
    layer = await shown.table.attach(source)
    directory = await shown.trees.show(layer)
    again = ErofsTrees(
        shown.root,
        shown.table,
        LayerDirectories(shown.root / "layers"),
        shown.trees._server,
        access=Access.FILES,
        fallback=FuseTrees(shown.root / "mnt"),
    )
    async with again.kept_up(is_served=False):
        assert await again.show(layer) == directory
        assert await read(directory / "file") == CONTENT
    assert len(mounted(shown.root, "erofs")) == 1
    assert mounted(shown.root, data_mountpoint(shown.root).name) == []
