"""How content is brought, seen from its readers."""

import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from estargz.codec import Codec
from fs.errors import ChunkUnavailableError
from fs.fetch_counters import Priority
from fs.filling import FillSettings
from fs.inodes import ROOT
from fs.layer_source import LayerSource
from fs.request_planning import FetchSettings
from fs.request_slots import SlotSettings
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import CONTENT, QUICK, layer_table, mirrored, push, read_file
from tests.fs.layers_by_hand import HandmadeBlob


async def test_neighbouring_chunks_come_in_one_request(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        assert await read_file(layer) == CONTENT
        assert fake.count("blob") == 2
        assert layer.statistics().requests == 2


async def test_wrong_bytes_are_asked_for_once_more(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        fake.faults.inject(Fault.WRONG_BYTES)
        assert await read_file(layer) == CONTENT
        assert layer.statistics().verify_failures == 1


async def test_wrong_bytes_of_a_mirror_are_asked_of_the_next_server(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    with FakeRegistry() as mirror:
        mirror.state.blobs.update(fake.state.blobs)
        settings = replace(QUICK, hosts=mirrored(tmp_path / "certs.d", fake, mirror))
        async with layer_table(tmp_path / "root", client_settings=settings) as table:
            layer = await table.attach(source)
            assert (mirror.count("blob"), fake.count("blob")) == (1, 0)
            mirror.faults.inject(Fault.WRONG_BYTES, times=99)
            assert await read_file(layer) == CONTENT
            assert layer.statistics().verify_failures == 1
    assert (mirror.count("blob"), fake.count("blob")) == (2, 1)


async def test_every_reader_gets_an_error_of_its_own_and_the_next_read_starts_afresh(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    errors: list[ChunkUnavailableError] = []
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        fake.faults.inject(Fault.WRONG_BYTES, times=1000)

        async def read() -> None:
            with pytest.raises(ChunkUnavailableError) as caught:
                await read_file(layer)
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(read)
        assert len({id(error) for error in errors}) == 5
        assert "chunk 0 of /file" in errors[0].chunk
        fake.faults.clear()
        assert await read_file(layer) == CONTENT
        assert layer.statistics().last_error in str(errors[0])


async def test_a_reader_that_gives_up_does_not_cancel_the_others(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    results: list[bytes] = []
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        fake.faults.inject(Fault.STALLED)
        async with trio.open_nursery() as nursery:

            async def patient() -> None:
                results.append(await read_file(layer))

            with trio.CancelScope() as impatient:
                impatient.cancel()
                await read_file(layer)
            assert impatient.cancelled_caught
            nursery.start_soon(patient)
            await trio.testing.wait_all_tasks_blocked(0.05)
            fake.faults.clear()
        assert results == [CONTENT]
        assert layer.statistics().verify_failures == 0


async def test_a_table_that_ends_leaves_no_reader_with_wrong_content(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    outcome: list[str] = []
    async with trio.open_nursery() as nursery:
        async with layer_table(tmp_path) as table:
            layer = await table.attach(source)
            fake.faults.inject(Fault.STALLED)

            async def read() -> None:
                try:
                    outcome.append(repr(await read_file(layer)))
                except ChunkUnavailableError:
                    outcome.append("error")

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.05)
        fake.faults.clear()
    assert outcome == ["error"]


async def test_tokens_and_redirects_that_expire_are_renewed(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    fake.require_token = fake.redirects = True
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        index = layer.image.inodes.lookup(ROOT, b"file")
        for offset in range(0, len(CONTENT), 4096):
            fake.expire_redirects()
            fake.revoke_tokens()
            assert await layer.read(index, offset=offset, size=10) == CONTENT[offset : offset + 10]


@pytest.mark.parametrize("codec", list(Codec))
async def test_random_readers_get_the_files_bytes(
    fake: FakeRegistry, tmp_path: Path, codec: Codec
) -> None:
    content = random.Random(7).randbytes(700_001)
    shared = {f"small{number}": bytes([number]) * (500 + number) for number in range(30)}
    blob = HandmadeBlob(codec)
    blob.add_file("big", content, chunk_bytes=50_000)
    blob.add_shared_member(shared)
    files = {"big": content, **shared}

    async with layer_table(tmp_path, filling=FillSettings(quiet_seconds=0.0)) as table:
        layer = await table.attach(push(blob, fake))

        async def read(seed: int) -> None:
            choose = random.Random(seed)
            for _ in range(40):
                name, expected = choose.choice(list(files.items()))
                offset, size = choose.randrange(len(expected)), choose.randrange(1, 200_000)
                index = layer.image.inodes.lookup(ROOT, name.encode())
                data = await layer.read(index, offset=offset, size=size)
                assert data == expected[offset : offset + size]

        async with trio.open_nursery() as readers:
            for seed in range(16):
                readers.start_soon(read, seed)


def large_source(fake: FakeRegistry, *, size: int, chunk_bytes: int) -> tuple[LayerSource, bytes]:
    content = random.Random(11).randbytes(size)
    blob = HandmadeBlob()
    blob.add_file("file", content, chunk_bytes=chunk_bytes)
    return push(blob, fake), content


async def test_a_reader_takes_part_in_an_open_request_that_will_soon_bring_what_it_needs(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source, content = large_source(fake, size=300_000, chunk_bytes=100_000)
    async with layer_table(tmp_path) as table, trio.open_nursery() as nursery:
        layer = await table.attach(source)
        with table._node.gate.demand():  # it cannot go on by itself
            bring = partial(layer.fetcher.bring, range(3), Priority.PREFETCH, quiet_seconds=0.0)
            nursery.start_soon(bring)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert layer.store.is_empty
            index = layer.image.inodes.lookup(ROOT, b"file")
            data = await layer.read(index, offset=150_000, size=10)
            assert data == content[150_000:150_010]
            assert not layer.store.is_complete
        assert fake.count("blob") == 2


async def test_a_reader_does_not_wait_for_a_request_that_has_no_slot(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source, content = large_source(fake, size=300_000, chunk_bytes=100_000)
    async with layer_table(tmp_path, slots=SlotSettings(total=2, per_image=2)) as table:
        layer = await table.attach(source)
        async with trio.open_nursery() as nursery:
            with table._node.gate.demand():  # the first request stands aside, and keeps its slot
                for numbers in ([0], [1, 2]):
                    bring = layer.fetcher.bring
                    nursery.start_soon(
                        partial(bring, numbers, Priority.PREFETCH, quiet_seconds=0.0)
                    )
                    await trio.testing.wait_all_tasks_blocked(0.02)
                index = layer.image.inodes.lookup(ROOT, b"file")
                with trio.fail_after(10):
                    data = await layer.read(index, offset=150_000, size=10)
                assert data == content[150_000:150_010]
        assert layer.store.is_complete


async def test_a_reader_does_not_wait_for_a_request_that_is_stuck(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source, content = large_source(fake, size=300_000, chunk_bytes=100_000)
    impatient = FetchSettings(stuck_seconds=0.02)
    async with layer_table(tmp_path, fetching=impatient) as table, trio.open_nursery() as nursery:
        layer = await table.attach(source)
        fake.faults.inject(Fault.STALLED)  # half of it comes, and then nothing
        bring = partial(layer.fetcher.bring, range(3), Priority.PREFETCH, quiet_seconds=0.0)
        nursery.start_soon(bring)
        await trio.to_thread.run_sync(fake.faults.wait_stalled)
        await trio.testing.wait_all_tasks_blocked(0.05)
        index = layer.image.inodes.lookup(ROOT, b"file")
        with trio.fail_after(5):
            data = await layer.read(index, offset=250_000, size=10)
        assert data == content[250_000:250_010]
        fake.faults.clear()


async def test_a_reader_overtakes_an_open_request_that_is_far_from_what_it_needs(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source, content = large_source(fake, size=300_000, chunk_bytes=100_000)
    near = FetchSettings(join_bytes=1000)
    async with layer_table(tmp_path, fetching=near) as table:
        layer = await table.attach(source)
        async with trio.open_nursery() as nursery:
            with table._node.gate.demand():
                bring = partial(
                    layer.fetcher.bring, range(3), Priority.BACKGROUND, quiet_seconds=0.0
                )
                nursery.start_soon(bring)
                await trio.testing.wait_all_tasks_blocked(0.05)
                index = layer.image.inodes.lookup(ROOT, b"file")
                assert await layer.read(index, offset=250_000, size=10) == content[250_000:250_010]
        assert layer.store.is_complete
        assert fake.count("blob") == 3


async def test_in_sequence_what_follows_is_sent_for_before_it_is_asked_for(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    source, content = large_source(fake, size=3_000_000, chunk_bytes=50_000)
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        index = layer.image.inodes.lookup(ROOT, b"file")
        position = 0
        while layer.statistics().fetching.waits < 2:  # the second one makes it a sequence
            await layer.read(index, offset=position, size=50_000)
            position += 50_000
        requests = fake.count("blob")
        while not layer.fetcher._read_ahead.has_marks:
            position += 50_000
            await layer.read(index, offset=position, size=50_000)
        while fake.count("blob") == requests:
            await layer.read(index, offset=position, size=50_000)
            position += 50_000
            await trio.testing.wait_all_tasks_blocked(0.02)
        assert fake.count("blob") == requests + 1
        assert not layer.store.is_complete
        assert await read_file(layer) == content


async def test_what_it_cost_is_told_by_priority(fake: FakeRegistry, tmp_path: Path) -> None:
    source, content = large_source(fake, size=2_000_000, chunk_bytes=100_000)
    filling = FillSettings(quiet_seconds=0.0, prefetch_bytes=150_000)
    async with layer_table(tmp_path, filling=filling) as table:
        layer = await table.attach(source)
        await layer.filled.wait()
        assert await read_file(layer) == content
        cost = layer.statistics().fetching
        assert (cost.demand.requests, cost.hits, cost.waits) == (0, 1, 0)
        assert cost.prefetch.requests == 1
        assert 200_000 < cost.prefetch.bytes_received < 210_000
        transferred = cost.prefetch.bytes_received + cost.background.bytes_received
        assert len(content) < transferred < source_bytes(fake)


def source_bytes(fake: FakeRegistry) -> int:
    (blob,) = fake.state.blobs.values()
    return len(blob)


async def test_silence_ends_a_flight_however_often_the_client_would_try(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path, fetching=FetchSettings(silence_seconds=0.05)) as table:
        layer = await table.attach(source)
        fake.faults.inject(Fault.STALLED)
        try:
            with pytest.raises(ChunkUnavailableError, match="nothing has come for"):
                await read_file(layer)
        finally:
            fake.faults.clear()
        assert await read_file(layer) == CONTENT
