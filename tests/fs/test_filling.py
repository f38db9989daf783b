import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from estargz.toc import LANDMARK_CONTENT, NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK
from fs.filling import FillSettings
from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from registry.digest import Digest
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import layer_table, push, read_file
from tests.fs.layers_by_hand import HandmadeBlob

EVERYTHING = FillSettings(quiet_seconds=0.0)
_random = random.Random(1)
FIRST, SECOND = _random.randbytes(300_000), _random.randbytes(500_000)


def layer_with(landmark: str | None, fake: FakeRegistry) -> LayerSource:
    """Two files, and a landmark between them."""
    blob = HandmadeBlob()
    blob.add_file("first", FIRST, chunk_bytes=100_000)
    if landmark is not None:
        blob.add_file(landmark, LANDMARK_CONTENT)
    blob.add_file("second", SECOND, chunk_bytes=100_000)
    return push(blob, fake)


async def wait_filled(layer: Layer) -> None:
    with trio.fail_after(20):
        await layer.filled.wait()


async def test_background_brings_all_so_that_the_network_is_not_needed(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async with layer_table(tmp_path, filling=EVERYTHING) as table:
        layer = await table.attach(layer_with(None, fake))
        await wait_filled(layer)
        assert layer.store.is_complete
        asked = len(fake.requests)
        assert (
            await read_file(layer, b"first") + await read_file(layer, b"second") == FIRST + SECOND
        )
        assert len(fake.requests) == asked
        assert layer.statistics().landed_bytes == layer.statistics().blob_bytes


@pytest.mark.parametrize(
    ("landmark", "size", "present"),
    [
        (PREFETCH_LANDMARK, 0, len(FIRST)),
        (PREFETCH_LANDMARK, 10**9, len(FIRST)),
        (NO_PREFETCH_LANDMARK, 10**9, 0),
        (None, 0, 0),
        (None, 10**9, len(FIRST) + len(SECOND)),
    ],
)
async def test_prefetch_follows_the_landmark_and_else_the_size(
    fake: FakeRegistry, tmp_path: Path, landmark: str | None, size: int, present: int
) -> None:
    filling = FillSettings(background=False, prefetch_bytes=size)
    async with layer_table(tmp_path, filling=filling) as table:
        layer = await table.attach(layer_with(landmark, fake))
        await wait_filled(layer)
        assert layer.store.statistics().present_bytes == present


async def test_background_leaves_the_start_of_a_container_alone(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async with layer_table(tmp_path, filling=FillSettings(quiet_seconds=3600.0)) as table:
        layer = await table.attach(layer_with(PREFETCH_LANDMARK, fake))
        with trio.fail_after(20):
            await layer.prefetched.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert layer.store.statistics().present_bytes == len(FIRST)


async def test_what_the_image_asks_for_counts_more_than_the_settings(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source = replace(layer_with(None, fake), prefetch_bytes=1)
    filling = FillSettings(background=False, prefetch_bytes=10**9)
    async with layer_table(tmp_path, filling=filling) as table:
        layer = await table.attach(source)
        await wait_filled(layer)
        assert layer.store.is_empty


async def test_prefetch_can_be_switched_off(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(layer_with(PREFETCH_LANDMARK, fake))
        await wait_filled(layer)
        assert layer.store.is_empty
    assert len(fake.requests) == 1


async def test_readers_need_not_wait_for_a_fill_that_hangs(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source = layer_with(None, fake)
    async with layer_table(tmp_path) as table:
        await table.attach(source)
    fake.faults.inject(Fault.STALLED)
    async with layer_table(tmp_path, filling=EVERYTHING) as table:
        layer = await table.attach(source)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(5):
            assert await read_file(layer, b"second") == SECOND
        fake.faults.clear()
        await wait_filled(layer)
        assert layer.store.is_complete


class Waiting:
    """Whether a container that starts on a layer waits, for a prefetch that hangs until it is let go."""

    def __init__(self, table: LayerTable, layer: Layer) -> None:
        self._table, self._layer = table, layer
        self.is_over = False

    async def wait(self) -> None:
        await self._table.wait_prefetched([self._layer.digest, Digest.of(b"not attached")])
        self.is_over = True


@pytest.mark.parametrize(
    ("wait_seconds", "wait_max_bytes", "waits"),
    [(0.0, None, False), (60.0, None, True), (60.0, 10**6, True), (60.0, 1000, False)],
    ids=["by default", "if told to", "for little", "not for much"],
)
async def test_a_container_waits_for_prefetch_only_if_told_to(
    fake: FakeRegistry,
    tmp_path: Path,
    wait_seconds: float,
    wait_max_bytes: int | None,
    waits: bool,  # noqa: FBT001 - what is expected
) -> None:
    filling = FillSettings(
        background=False, wait_seconds=wait_seconds, wait_max_bytes=wait_max_bytes
    )
    async with hanging_prefetch(fake, tmp_path, filling) as (table, layer):
        waiting = Waiting(table, layer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert waiting.is_over is not waits
            fake.faults.clear()
        await wait_filled(layer)
        await table.wait_prefetched([layer.digest])


async def test_a_container_waits_once_and_not_for_ever(
    fake: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filling = FillSettings(background=False, wait_seconds=0.01)
    async with hanging_prefetch(fake, tmp_path, filling) as (table, layer):
        for _ in range(2):
            await table.wait_prefetched([layer.digest])
        fake.faults.clear()
        await wait_filled(layer)
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert told == ["container starts before its prefetch is done"]


@asynccontextmanager
async def hanging_prefetch(
    fake: FakeRegistry, tmp_path: Path, filling: FillSettings
) -> AsyncIterator[tuple[LayerTable, Layer]]:
    source = layer_with(PREFETCH_LANDMARK, fake)
    async with layer_table(tmp_path) as table:
        await table.attach(source)
    fake.faults.inject(Fault.STALLED)
    async with layer_table(tmp_path, filling=filling) as table:
        yield table, await table.attach(source)


async def test_temporary_failures_only_delay(fake: FakeRegistry, tmp_path: Path) -> None:
    source = layer_with(None, fake)
    async with layer_table(tmp_path) as table:
        await table.attach(source)
    fake.faults.inject(Fault.BUSY, times=6)
    async with layer_table(tmp_path, filling=EVERYTHING) as table:
        layer = await table.attach(source)
        await wait_filled(layer)
        assert layer.store.is_complete


async def test_detaching_ends_the_fill(fake: FakeRegistry, tmp_path: Path) -> None:
    source = layer_with(None, fake)
    async with layer_table(tmp_path) as table:
        await table.attach(source)
    fake.faults.inject(Fault.STALLED)
    async with layer_table(tmp_path, filling=EVERYTHING) as table:
        layer = await table.attach(source)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await table.detach(source.digest)
        await wait_filled(layer)
        assert not layer.store.is_complete
    fake.faults.clear()
