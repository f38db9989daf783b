"""All layers under one limit: what is used stays, what is not goes, and nobody notices but by requests."""

import os
import random
import time
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from fs.cache_usage import CacheSettings
from fs.filling import FillSettings
from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from fs.read_ahead import ReadAheadSettings
from fs.request_planning import FetchSettings
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import layer_table, push, read_file
from tests.fs.layers_by_hand import HandmadeBlob

FILE_BYTES = 40_000
FILE_BLOCKS = 40_960
LAYER_BLOCKS = 5 * FILE_BLOCKS


def contents(seed: int) -> dict[bytes, bytes]:
    randomness = random.Random(seed)
    return {b"%d" % number: randomness.randbytes(FILE_BYTES) for number in range(5)}


def make(fake: FakeRegistry, seed: int) -> LayerSource:
    blob = HandmadeBlob()
    for name, content in contents(seed).items():
        blob.add_file(name.decode(), content, chunk_bytes=8192)
    return push(blob, fake)


def limit(layers: float, *, lease_seconds: float = 0.0) -> CacheSettings:
    return CacheSettings(
        max_bytes=int(layers * LAYER_BLOCKS),
        high_share=0.8,
        low_share=0.6,
        lease_seconds=lease_seconds,
        retry_seconds=0.01,
    )


NOTHING_ALONG = FetchSettings(
    read_ahead=ReadAheadSettings(
        least_window_bytes=0, max_random_window_bytes=0, first_window_bytes=0, max_window_bytes=0
    )
)


async def read_all(layer: Layer, seed: int) -> None:
    for name, content in contents(seed).items():
        assert await read_file(layer, name) == content


async def settle(table: LayerTable) -> None:
    await trio.testing.wait_all_tasks_blocked()
    await table.cache.wait_settled()


def disk_blocks(root: Path) -> int:
    os.sync()
    return sum(path.stat().st_blocks * 512 for path in root.rglob("data"))


async def test_the_layer_used_longest_ago_goes_first(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path, caching=limit(3), fetching=NOTHING_ALONG) as table:
        layers = [await table.attach(make(fake, seed)) for seed in range(3)]
        for seed in (1, 0, 2):
            for name, content in contents(seed).items():
                assert await read_file(layers[seed], name) == content
                await settle(table)  # room is made as soon as it is needed, not when all has come
            layers[seed].last_used = time.time() - {1: 300, 0: 200, 2: 100}[seed]
            await settle(table)
        states = [layer.store.statistics().present_bytes for layer in layers]
        assert states[1] < states[0] == states[2] == 5 * FILE_BYTES
        statistics = table.cache_statistics()
        assert statistics.used_bytes <= 0.8 * statistics.limit_bytes
        assert statistics.evicted_bytes == 3 * LAYER_BLOCKS - statistics.used_bytes
        assert disk_blocks(tmp_path) == statistics.used_bytes
        await read_all(layers[1], 1)  # it comes again


async def test_what_was_used_lately_stays_and_reads_go_on(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async with layer_table(tmp_path, caching=limit(1, lease_seconds=3600)) as table:
        for seed in range(3):
            layer = await table.attach(make(fake, seed))
            await read_all(layer, seed)
            await read_all(layer, seed)
        statistics = table.cache_statistics()
        assert statistics.used_bytes <= statistics.limit_bytes
        assert statistics.evicted_bytes == 0
        assert statistics.unkept_writes > 0
        assert "cache is full" in statistics.disk_error


async def test_what_is_pinned_stays(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path, caching=limit(1.5)) as table:
        pinned, other = [await table.attach(make(fake, seed)) for seed in range(2)]
        with pinned.store.pinned():
            await read_all(pinned, 0)
            await read_all(other, 1)
            await settle(table)
            assert pinned.store.is_complete


async def test_a_smaller_limit_holds_at_once(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(make(fake, 0))
        await read_all(layer, 0)
        assert layer.store.is_complete
        table.cache.use(limit(0.5))
        await settle(table)
        assert table.cache_statistics().used_bytes <= LAYER_BLOCKS / 2
        await read_all(layer, 0)


async def test_deleted_layers_make_room(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(make(fake, 0))
        await read_all(layer, 0)
        assert table.cache_statistics().used_bytes == LAYER_BLOCKS
        await table.detach(layer.digest)
        assert table.cache_statistics().used_bytes == 0
        layer.store.mark_present([0])  # a flight may land late
        assert table.cache_statistics().used_bytes == 0


async def test_what_is_kept_counts_after_a_restart(fake: FakeRegistry, tmp_path: Path) -> None:
    source = make(fake, 0)
    async with layer_table(tmp_path) as table:
        await read_all(await table.attach(source), 0)
    async with layer_table(tmp_path) as table:
        await table.find(source.digest.file_name.encode())
        assert table.cache_statistics().used_bytes == LAYER_BLOCKS
    async with layer_table(tmp_path, caching=limit(0.5)) as table:
        await table.find(source.digest.file_name.encode())
        await settle(table)
        assert table.cache_statistics().used_bytes <= LAYER_BLOCKS / 2


async def test_readers_see_right_bytes_while_all_is_evicted(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async with layer_table(tmp_path, caching=limit(0.3)) as table:
        layer = await table.attach(make(fake, 0))
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(read_all, layer, 0)
        await settle(table)
        assert table.cache_statistics().used_bytes <= LAYER_BLOCKS * 0.3


@pytest.mark.fuse
async def test_a_full_disk_takes_new_content_in_place_of_old(
    fake: FakeRegistry, small_disk: Path
) -> None:
    async with layer_table(small_disk, caching=limit(100)) as table:
        layers = [await table.attach(make(fake, seed)) for seed in range(7)]
        for seed, layer in enumerate(layers):  # more than the disk has room for
            await read_all(layer, seed)
            await settle(table)
            await read_all(layer, seed)
            await settle(table)
        assert layers[-1].store.is_complete
        statistics = table.cache_statistics()
        assert statistics.evicted_bytes > 0
        assert statistics.unkept_writes > 0
        assert statistics.disk_error == ""


async def test_what_nobody_waits_for_drives_nothing_out(fake: FakeRegistry, tmp_path: Path) -> None:
    filling = FillSettings(prefetch=False, quiet_seconds=0.0)
    async with layer_table(tmp_path, caching=limit(2.3), filling=filling) as table:
        first = await table.attach(make(fake, 0))
        await first.filled.wait()
        second = await table.attach(make(fake, 1))
        with trio.move_on_after(0.2):
            await second.filled.wait()
        assert not second.filled.is_set()
        assert first.store.is_complete
        assert table.cache_statistics().evicted_bytes == 0
        await table.detach(second.digest)


class Lives:
    """What a state machine does to a table, and what must be true whatever it did."""

    def __init__(self, fake: FakeRegistry, root: Path) -> None:
        self.sources = [make(fake, seed) for seed in range(3)]
        self.root = root

    async def act(self, table: LayerTable, action: str, seed: int) -> None:
        source = self.sources[seed]
        match action:
            case "detach":
                await table.detach(source.digest)
            case "evict":
                layer = await table.attach(source)
                layer.last_used = 0.0
                table.cache.use(limit(0.2))
                await settle(table)
                table.cache.use(limit(10))
            case _:
                layer = await table.attach(source)
                name = random.Random(seed).choice(list(contents(seed)))
                assert await read_file(layer, name) == contents(seed)[name]
        used = sum(layer.disk_bytes for layer in table.statistics())
        assert table.cache_statistics().used_bytes == used


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["read", "detach", "evict", "restart"]), st.integers(0, 2)),
    max_size=8,
)


@settings(max_examples=10)
@given(actions=ACTIONS)
def test_any_life_serves_right_bytes_and_counts_what_it_holds(
    actions: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with FakeRegistry() as fake:
        lives = Lives(fake, tmp_path_factory.mktemp("lives"))

        async def live() -> None:
            remaining = iter(actions)
            restarted = True
            while restarted:
                restarted = False
                async with layer_table(lives.root, caching=limit(10)) as table:
                    for action, seed in remaining:
                        if action == "restart":
                            restarted = True
                            break
                        await lives.act(table, action, seed)

        trio.run(live)
