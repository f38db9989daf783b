"""How content is brought, seen from its readers."""

from pathlib import Path

import pytest
import trio
import trio.testing

from fs.errors import ChunkUnavailableError
from fs.layer import LayerSource
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import CONTENT, layer_table, read_file


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
