"""After a loss of power at any moment, the kernel shows only right trees and right bytes, whoever reads the content for it.

The life of a server with real EROFS mounts is recorded, system call by system call, and ended by a loss of power at any of
them; what survives is mounted again, read, completed, mounted on its local content, and lost again.
"""

import random
import stat
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from fs.checkpoints import save_all
from fs.erofs.trees import ErofsTrees
from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from tests.e2e.leftovers import mounts_under
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import layer_table, push
from tests.fs.in_process_mounts import erofs_trees
from tests.fs.layers_by_hand import HandmadeBlob, entry
from tests.fs.power_loss import Recorder, after_power_loss

pytestmark = pytest.mark.fuse

CRASHES, AGAIN = 20, 1
CHUNK_BYTES = 4096
NO_BOOT = "another boot"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A layer in the registry, and the files that must be seen in it."""

    source: LayerSource
    files: dict[str, bytes]


def pushed(fake: FakeRegistry, seed: int) -> Pushed:
    """A layer of which a part is the same for all seeds."""
    choose = random.Random(seed)
    files = {
        "alone": choose.randbytes(20_000),
        "d/small": b"%d" % seed,
        "d/e/odd": choose.randbytes(5001),
        "shared": random.Random("shared").randbytes(30_000),
    }
    blob = HandmadeBlob()
    for name, content in files.items():
        blob.add_file(name, content, chunk_bytes=CHUNK_BYTES, mode=0o640)
    blob.entries += [entry("link", "symlink", link_name="alone"), entry("d/empty")]
    return Pushed(push(blob, fake), files | {"d/empty": b""})


@dataclass(frozen=True, slots=True)
class Life:
    """A server that shows layers."""

    table: LayerTable
    trees: ErofsTrees
    root: Path

    async def show(self, layer: Pushed) -> tuple[Layer, Path]:
        attached = await self.table.attach(layer.source)
        return attached, await self.trees.show(attached)

    def reads_for_itself(self, layer: Pushed) -> bool:
        """Whether the kernel has the layer's local content mounted."""
        return self.root / "local" / layer.source.digest.file_name in mounts_under(self.root)

    async def save(self, layer: Layer) -> None:
        await save_all([layer])


@asynccontextmanager
async def life(root: Path) -> AsyncIterator[Life]:
    async with layer_table(root / "layers") as table, erofs_trees(table, root) as trees:
        yield Life(table, trees, root)


def check_tree(directory: Path, layer: Pushed) -> None:
    """Fails unless a directory shows the layer, every byte of it. It blocks."""
    files = sorted(path for path in directory.rglob("*") if stat.S_ISREG(path.lstat().st_mode))
    assert [str(path.relative_to(directory)) for path in files] == sorted(layer.files)
    for path in files:
        assert path.stat().st_mode & 0o777 == (0 if path.name == "empty" else 0o640)
        assert path.read_bytes() == layer.files[str(path.relative_to(directory))], path
    assert (directory / "link").readlink() == Path("alone")


async def read(directory: Path, name: str, layer: Pushed) -> None:
    path = directory / name
    assert await trio.to_thread.run_sync(path.read_bytes) == layer.files[name]


async def check(directory: Path, layer: Pushed) -> None:
    await trio.to_thread.run_sync(check_tree, directory, layer)


async def first_life(root: Path, first: Pushed, second: Pushed) -> None:
    """A bit of everything that changes what is kept of a layer."""
    async with life(root) as server:
        layer, directory = await server.show(first)
        await read(directory, "d/e/odd", first)
        await server.save(layer)
        await check(directory, first)
        await server.show(first)
        assert server.reads_for_itself(first)  # and nothing of it is durable yet
        await check(directory, first)
        other, directory = await server.show(second)
        await read(directory, "shared", second)  # copied from the first
        await read(directory, "alone", second)
        await server.save(other)
        eviction = other.store.begin_eviction(20_000)
        await trio.to_thread.run_sync(other.store.punch, eviction)
        other.store.end_eviction()
        await read(directory, "alone", second)
        await server.save(layer)
        await server.trees.hide(first.source.digest)
        await server.table.detach(first.source.digest)
        _, directory = await server.show(first)
        await check(directory, first)


async def next_life(root: Path, layers: list[Pushed], seen: Counter[str]) -> None:
    """What survived is shown as it is; then all of it is fetched, and the kernel reads it by itself."""
    async with life(root) as server:
        for layer in layers:
            attached, directory = await server.show(layer)
            seen["complete" if server.reads_for_itself(layer) else "lazy"] += 1
            seen["begun"] += not attached.store.is_empty and not attached.store.is_complete
            await check(directory, layer)
            assert attached.store.is_complete
            await server.show(layer)
            assert server.reads_for_itself(layer)
            await check(directory, layer)
            await server.save(attached)


async def recorded(root: Path, layers: list[Pushed], seen: Counter[str]) -> Recorder:
    recorder = Recorder(root / "layers")
    with recorder.recording():
        await next_life(root, layers, seen)
    return recorder


def restart(recorder: Recorder, root: Path, randomness: random.Random) -> None:
    """Writes what a loss of power leaves, and starts the machine anew."""
    end = randomness.randrange(recorder.base, len(recorder.steps) + 1)
    root.mkdir()
    after_power_loss(recorder.steps[:end], recorder.base, randomness).write_to(root / "layers")
    for pin in (root / "layers").rglob("read-by-kernel"):
        pin.write_text(NO_BOOT)


async def test_what_is_mounted_after_a_loss_of_power_is_right(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    layers, seen = [pushed(fake, seed) for seed in (1, 2)], Counter[str]()
    (tmp_path / "real" / "layers").mkdir(parents=True)
    recorder = Recorder(tmp_path / "real" / "layers")
    with recorder.recording():
        await first_life(tmp_path / "real", *layers)
    randomness = random.Random(1)
    for crash in range(CRASHES):
        root = tmp_path / f"lost-{crash}"
        restart(recorder, root, randomness)
        successor = await recorded(root, layers, seen)
        for number in range(AGAIN):
            again = tmp_path / f"again-{crash}-{number}"
            restart(successor, again, randomness)
            await next_life(again, layers, seen)
    assert min(seen["complete"], seen["lazy"], seen["begun"]) > 0, seen
