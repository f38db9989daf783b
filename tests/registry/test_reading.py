import dataclasses

import pytest
import trio

from registry.bandwidth import BURST_SECONDS
from registry.client import BlobRange, RegistryClient
from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    NotFoundError,
    RegistryError,
)
from tests.fakes.registry import Fault
from tests.registry.asking import DATA, repository_of


async def test_reads_exactly_the_range_asked_for(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        got = await client.read_range(repository_of(fake), digest, start=100, length=50)
    assert got == BlobRange(100, DATA[100:150], len(DATA))
    assert [record.range for record in fake.requests] == ["bytes=100-149"]


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, 0), (5, -1)])
async def test_impossible_ranges_are_our_own_mistake(fake, quick, start, length):
    async with RegistryClient(quick) as client:
        with pytest.raises(ValueError, match="no such range"):
            await client.read_range(repository_of(fake), Digest.of(b""), start=start, length=length)


@pytest.mark.parametrize("length", [1, len(DATA) - 1, len(DATA), len(DATA) + 1])
@pytest.mark.parametrize(
    "fault", [None, Fault.SUFFIX_IGNORED, Fault.RANGE_REFUSED, Fault.RANGE_UNSATISFIABLE]
)
@pytest.mark.parametrize("max_unranged_bytes", [10, 8 << 20])
async def test_tails_of_all_servers_are_the_same(fake, quick, length, fault, max_unranged_bytes):
    digest = fake.add_blob("some/image", DATA)
    if fault:
        fake.faults.inject(fault)
    settings = dataclasses.replace(quick, max_unranged_bytes=max_unranged_bytes)
    async with RegistryClient(settings) as client:
        tail = await client.read_tail(repository_of(fake), digest, length=length)
    assert tail == BlobRange(max(0, len(DATA) - length), DATA[-length:], len(DATA))


async def test_the_tail_of_an_empty_blob_is_empty(fake, quick):
    digest = fake.add_blob("some/image", b"")
    async with RegistryClient(quick) as client:
        assert await client.read_tail(repository_of(fake), digest, length=5) == BlobRange(0, b"", 0)


async def test_a_small_blob_without_ranges_is_read_through(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.RANGE_IGNORED)
    async with RegistryClient(quick) as client:
        got = await client.read_range(repository_of(fake), digest, start=7, length=3)
    assert got == BlobRange(7, DATA[7:10], len(DATA))


async def test_a_large_blob_without_ranges_is_refused(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.RANGE_IGNORED, times=99)
    async with RegistryClient(dataclasses.replace(quick, max_unranged_bytes=1000)) as client:
        with pytest.raises(BadResponseError, match="ignores the range"):
            await client.read_range(repository_of(fake), digest, start=999, length=2)


async def test_silence_ends_in_a_timeout_and_a_new_attempt(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED)
    settings = dataclasses.replace(quick, inactivity_timeout_seconds=0.05)
    async with RegistryClient(settings) as client:
        got = await client.read_range(repository_of(fake), digest, start=0, length=len(DATA))
    assert got.data == DATA
    # What had come before the silence was not asked for again.
    assert [record.range for record in fake.requests] == [
        f"bytes=0-{len(DATA) - 1}",
        f"bytes={len(DATA) // 2}-{len(DATA) - 1}",
    ]


async def test_streams_go_on_where_they_broke_off(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.SHORT_BODY, times=3)
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(repository_of(fake), digest) as chunks,
    ):
        data = b"".join([chunk async for chunk in chunks])
    assert data == DATA
    size = len(DATA)
    starts = [size // 2, size * 3 // 4, size * 7 // 8]
    assert [record.range for record in fake.requests] == [
        "",
        *(f"bytes={start}-" for start in starts),
    ]


async def test_a_stream_goes_on_though_the_server_knows_no_ranges(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.SHORT_BODY)
    fake.faults.inject(Fault.RANGE_IGNORED)
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(repository_of(fake), digest) as chunks,
    ):
        assert b"".join([chunk async for chunk in chunks]) == DATA


async def test_a_stream_may_be_left_early(fake, quick):
    digest = fake.add_blob("some/image", bytes(4 << 20))
    async with RegistryClient(quick) as client:
        async with client.stream_range(
            repository_of(fake), digest, start=5, length=3 << 20
        ) as chunks:
            async for chunk in chunks:
                assert chunk
                break
        assert client.statistics().bytes_received < 1 << 20
        assert await client.blob_exists(repository_of(fake), digest) == 4 << 20


async def test_a_stream_of_a_missing_blob_says_so_when_read(fake, quick):
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(repository_of(fake), Digest.of(b"missing")) as chunks,
    ):
        with pytest.raises(NotFoundError):
            await anext(chunks)


async def test_the_size_of_a_blob(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        assert await client.blob_exists(repository_of(fake), digest) == len(DATA)
        assert await client.blob_exists(repository_of(fake), Digest.of(b"missing")) is None


async def test_a_blob_that_changes_meanwhile_is_refused(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.SHORT_BODY)
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(repository_of(fake), digest) as chunks,
    ):
        await anext(chunks)
        fake.state.blobs["some/image", str(digest)] = DATA + b"more"
        with pytest.raises(BadResponseError, match="and now"):
            async for _ in chunks:
                pass


async def test_no_more_than_the_range_is_taken_from_a_whole_blob(fake, quick):
    digest = fake.add_blob("some/image", bytes(4 << 20))
    fake.faults.inject(Fault.RANGE_IGNORED)
    async with RegistryClient(quick) as client:
        got = await client.read_range(repository_of(fake), digest, start=3, length=10)
        assert (got.data, got.blob_bytes) == (bytes(10), 4 << 20)
        assert client.statistics().bytes_received < 1 << 20


async def test_an_empty_tail_is_our_own_mistake(fake, quick):
    async with RegistryClient(quick) as client:
        with pytest.raises(ValueError, match="no such range"):
            await client.read_tail(repository_of(fake), Digest.of(b""), length=0)


async def test_another_tail_than_asked_for_is_tried_again(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.OTHER_RANGE)
    async with RegistryClient(quick) as client:
        tail = await client.read_tail(repository_of(fake), digest, length=100)
    assert tail.data == DATA[-100:]
    assert fake.count("blob") == 2


async def test_what_is_taken_may_be_limited(quick, autojump_clock):
    limited = dataclasses.replace(quick, max_bytes_per_second=1e6)
    began = trio.current_time()
    async with RegistryClient(limited) as client:
        for _ in range(4):
            await client._exchange.throttle(200_000)
    assert trio.current_time() - began == pytest.approx(0.8 - BURST_SECONDS)


async def test_what_was_tried_for_too_long_is_not_tried_again(fake, quick):
    digest = fake.add_blob("some/image", b"x")
    fake.faults.inject(Fault.BUSY, times=99)
    async with RegistryClient(dataclasses.replace(quick, operation_timeout_seconds=1e-9)) as client:
        with pytest.raises(RegistryError):
            await client.read_range(repository_of(fake), digest, start=0, length=1)
    assert fake.count("blob") == 1
