import dataclasses
from pathlib import Path

import pytest
import trio

from registry.client import BlobRange, RegistryClient
from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    InvalidReferenceError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnreachableError,
)
from registry.manifest import OCI_MANIFEST
from registry.reference import Repository
from tests.fakes.registry import FakeRegistry, Fault

DATA = bytes(range(256)) * 64


def _repository(fake: FakeRegistry) -> Repository:
    return Repository(fake.host, "some/image")


async def test_reads_exactly_the_range_asked_for(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        got = await client.read_range(_repository(fake), digest, start=100, length=50)
    assert got == BlobRange(100, DATA[100:150], len(DATA))
    assert [record.range for record in fake.requests] == ["bytes=100-149"]


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, 0), (5, -1)])
async def test_impossible_ranges_are_our_own_mistake(fake, quick, start, length):
    async with RegistryClient(quick) as client:
        with pytest.raises(ValueError, match="no such range"):
            await client.read_range(_repository(fake), Digest.of(b""), start=start, length=length)


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
        tail = await client.read_tail(_repository(fake), digest, length=length)
    assert tail == BlobRange(max(0, len(DATA) - length), DATA[-length:], len(DATA))


async def test_the_tail_of_an_empty_blob_is_empty(fake, quick):
    digest = fake.add_blob("some/image", b"")
    async with RegistryClient(quick) as client:
        assert await client.read_tail(_repository(fake), digest, length=5) == BlobRange(0, b"", 0)


async def test_a_small_blob_without_ranges_is_read_through(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.RANGE_IGNORED)
    async with RegistryClient(quick) as client:
        got = await client.read_range(_repository(fake), digest, start=7, length=3)
    assert got == BlobRange(7, DATA[7:10], len(DATA))


async def test_a_large_blob_without_ranges_is_refused(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.RANGE_IGNORED, times=99)
    async with RegistryClient(dataclasses.replace(quick, max_unranged_bytes=1000)) as client:
        with pytest.raises(BadResponseError, match="ignores the range"):
            await client.read_range(_repository(fake), digest, start=999, length=2)


@pytest.mark.parametrize("fault", [Fault.OTHER_RANGE, Fault.SHORT_BODY, Fault.BUSY, Fault.HUNG_UP])
async def test_temporary_faults_are_tried_again(fake, quick, fault):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(fault, times=quick.attempts - 1)
    async with RegistryClient(quick) as client:
        got = await client.read_range(_repository(fake), digest, start=1, length=1000)
        assert client.statistics().retries == quick.attempts - 1
    assert got.data == DATA[1:1001]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.OTHER_RANGE, BadResponseError),
        (Fault.SHORT_BODY, BadResponseError),
        (Fault.BUSY, RegistryError),
        (Fault.BROKEN, RegistryError),
        (Fault.RATE_LIMITED, RateLimitedError),
        (Fault.HUNG_UP, UnreachableError),
    ],
)
async def test_lasting_faults_end_in_an_error_that_says_so(fake, quick, fault, error):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(fault, times=99)
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(error) as caught:
            await client.read_range(_repository(fake), digest, start=0, length=2)
    assert caught.value.host == fake.host
    assert caught.value.retryable
    assert str(caught.value).isprintable()
    assert fake.count("blob") == 2


async def test_silence_ends_in_a_timeout_and_a_new_attempt(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED)
    settings = dataclasses.replace(quick, inactivity_timeout_seconds=0.05)
    async with RegistryClient(settings) as client:
        got = await client.read_range(_repository(fake), digest, start=0, length=len(DATA))
    assert got.data == DATA
    # What had come before the silence was not asked for again.
    assert [record.range for record in fake.requests] == [
        f"bytes=0-{len(DATA) - 1}",
        f"bytes={len(DATA) // 2}-{len(DATA) - 1}",
    ]


async def test_a_long_pause_asked_for_is_told_not_waited(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.retry_after = "3600"
    fake.faults.inject(Fault.RATE_LIMITED)
    async with RegistryClient(quick) as client:
        with pytest.raises(RateLimitedError, match="again in 3600 s") as caught:
            await client.read_range(_repository(fake), digest, start=0, length=1)
    assert caught.value.retry_after_seconds == 3600
    assert fake.count("blob") == 1


async def test_nobody_listening_is_unreachable(quick):
    with FakeRegistry() as gone:
        repository = _repository(gone)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnreachableError, match="check the host's name") as caught:
            await client.fetch_manifest(repository, "latest")
    assert caught.value.status is None


async def test_streams_go_on_where_they_broke_off(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.SHORT_BODY, times=3)
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(_repository(fake), digest) as chunks,
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
        client.stream_blob(_repository(fake), digest) as chunks,
    ):
        assert b"".join([chunk async for chunk in chunks]) == DATA


async def test_a_stream_may_be_left_early(fake, quick):
    digest = fake.add_blob("some/image", bytes(4 << 20))
    async with RegistryClient(quick) as client:
        async with client.stream_range(
            _repository(fake), digest, start=5, length=3 << 20
        ) as chunks:
            async for chunk in chunks:
                assert chunk
                break
        assert client.statistics().bytes_received < 1 << 20
        assert await client.blob_exists(_repository(fake), digest) == 4 << 20


async def test_a_stream_of_a_missing_blob_says_so_when_read(fake, quick):
    async with (
        RegistryClient(quick) as client,
        client.stream_blob(_repository(fake), Digest.of(b"missing")) as chunks,
    ):
        with pytest.raises(NotFoundError):
            await anext(chunks)


async def test_a_cancelled_read_leaves_the_client_usable(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED)
    async with RegistryClient(dataclasses.replace(quick, max_connections=1)) as client:
        with trio.move_on_after(0.05) as scope:
            await client.read_range(_repository(fake), digest, start=0, length=100)
        assert scope.cancelled_caught
        got = await client.read_range(_repository(fake), digest, start=0, length=100)
    assert got.data == DATA[:100]


async def test_the_size_of_a_blob(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        assert await client.blob_exists(_repository(fake), digest) == len(DATA)
        assert await client.blob_exists(_repository(fake), Digest.of(b"missing")) is None


async def test_manifests_by_tag_and_by_digest(fake, quick):
    digest = fake.add_manifest("some/image", "1", b'{"a": 1}', OCI_MANIFEST)
    async with RegistryClient(quick) as client:
        by_tag = await client.fetch_manifest(_repository(fake), "1")
        assert (by_tag.data, by_tag.media_type, by_tag.digest) == (
            b'{"a": 1}',
            OCI_MANIFEST,
            digest,
        )
        assert await client.fetch_manifest(_repository(fake), digest) == by_tag


@pytest.mark.parametrize("by_digest", [True, False])
async def test_a_changed_manifest_is_refused(fake, quick, by_digest):
    digest = fake.add_manifest("some/image", "1", b'{"a": 1}', OCI_MANIFEST)
    fake.faults.inject(Fault.WRONG_BYTES, kinds=("manifest",), times=99)
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError, match=f"is not {digest}"):
            await client.fetch_manifest(_repository(fake), digest if by_digest else "1")


async def test_a_huge_manifest_is_refused(fake, quick):
    fake.add_manifest("some/image", "1", bytes(1001), OCI_MANIFEST)
    async with RegistryClient(dataclasses.replace(quick, max_manifest_bytes=1000)) as client:
        with pytest.raises(BadResponseError, match="more than 1000 bytes"):
            await client.fetch_manifest(_repository(fake), "1")
    assert fake.count("manifest") == 1


@pytest.mark.parametrize("tag", ["", "../x", "a/b", "a?b", "-a", "a" * 129])
async def test_a_tag_cannot_leave_its_place_in_the_url(fake, quick, tag):
    async with RegistryClient(quick) as client:
        with pytest.raises(InvalidReferenceError):
            await client.fetch_manifest(_repository(fake), tag)
    assert fake.requests == []


async def test_pushes_a_manifest(fake, quick):
    async with RegistryClient(quick) as client:
        digest = await client.push_manifest(_repository(fake), "1", b"{}", OCI_MANIFEST)
        assert (await client.fetch_manifest(_repository(fake), "1")).digest == digest


async def test_pushes_a_blob_after_failures_and_counts_right(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    data = bytes(3 << 20)
    await trio.Path(path).write_bytes(data)
    fake.faults.inject(Fault.BUSY, kinds=("upload",))
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        await client.push_blob(_repository(fake), Digest.of(data), path, on_progress=sent.append)
        assert client.statistics().bytes_sent == len(data)
    assert sum(sent) == len(data)
    assert fake.state.blobs["some/image", str(Digest.of(data))] == data


async def test_a_file_that_is_not_its_digest_is_refused(fake, quick, tmp_path):
    path = Path(tmp_path / "blob")
    await trio.Path(path).write_bytes(b"other")
    async with RegistryClient(quick) as client:
        with pytest.raises(RegistryError) as caught:
            await client.push_blob(_repository(fake), Digest.of(b"this"), path)
    assert (caught.value.status, caught.value.code) == (400, "DIGEST_INVALID")


async def test_statistics_count_what_went_over_the_wire(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(_repository(fake), digest, start=0, length=10)
        statistics = client.statistics()
    assert statistics.requests == 3
    assert statistics.tokens_fetched == 1
    assert statistics.bytes_received == sum(record.body_bytes for record in fake.requests)
    assert "requests=3" in repr(client)
