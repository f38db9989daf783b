import dataclasses

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    InvalidReferenceError,
)
from registry.manifest import OCI_MANIFEST
from tests.fakes.registry import Fault
from tests.registry.asking import DATA, repository_of


async def test_a_cancelled_read_leaves_the_client_usable(fake, quick):
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED)
    async with RegistryClient(dataclasses.replace(quick, max_connections=1)) as client:
        with trio.move_on_after(0.05) as scope:
            await client.read_range(repository_of(fake), digest, start=0, length=100)
        assert scope.cancelled_caught
        got = await client.read_range(repository_of(fake), digest, start=0, length=100)
    assert got.data == DATA[:100]


async def test_manifests_by_tag_and_by_digest(fake, quick):
    digest = fake.add_manifest("some/image", "1", b'{"a": 1}', OCI_MANIFEST)
    async with RegistryClient(quick) as client:
        by_tag = await client.fetch_manifest(repository_of(fake), "1")
        assert (by_tag.data, by_tag.media_type, by_tag.digest) == (
            b'{"a": 1}',
            OCI_MANIFEST,
            digest,
        )
        assert await client.fetch_manifest(repository_of(fake), digest) == by_tag


@pytest.mark.parametrize("by_digest", [True, False])
async def test_a_changed_manifest_is_refused(fake, quick, by_digest):
    digest = fake.add_manifest("some/image", "1", b'{"a": 1}', OCI_MANIFEST)
    fake.faults.inject(Fault.WRONG_BYTES, kinds=("manifest",), times=99)
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError, match=f"is not {digest}"):
            await client.fetch_manifest(repository_of(fake), digest if by_digest else "1")


async def test_a_huge_manifest_is_refused(fake, quick):
    fake.add_manifest("some/image", "1", bytes(1001), OCI_MANIFEST)
    async with RegistryClient(dataclasses.replace(quick, max_manifest_bytes=1000)) as client:
        with pytest.raises(BadResponseError, match="more than 1000 bytes"):
            await client.fetch_manifest(repository_of(fake), "1")
    assert fake.count("manifest") == 1


@pytest.mark.parametrize("tag", ["", "../x", "a/b", "a?b", "-a", "a" * 129])
async def test_a_tag_cannot_leave_its_place_in_the_url(fake, quick, tag):
    async with RegistryClient(quick) as client:
        with pytest.raises(InvalidReferenceError):
            await client.fetch_manifest(repository_of(fake), tag)
    assert fake.requests == []


async def test_pushes_a_manifest(fake, quick):
    async with RegistryClient(quick) as client:
        digest = await client.push_manifest(repository_of(fake), "1", b"{}", OCI_MANIFEST)
        assert (await client.fetch_manifest(repository_of(fake), "1")).digest == digest


async def test_statistics_count_what_went_over_the_wire(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await client.read_range(repository_of(fake), digest, start=0, length=10)
        statistics = client.statistics()
    assert statistics.requests == 3
    assert statistics.tokens_fetched == 1
    assert statistics.bytes_received == sum(record.body_bytes for record in fake.requests)
    assert "requests=3" in repr(client)


@pytest.mark.parametrize("claimed", ["nonsense", str(Digest.of(b"{}"))])
async def test_a_claimed_digest_must_be_right_where_it_is_one(fake, quick, claimed):
    fake.add_manifest("some/image", "1", b"{}", OCI_MANIFEST)
    fake.state.claimed_digest = claimed
    async with RegistryClient(quick) as client:
        assert (await client.fetch_manifest(repository_of(fake), "1")).digest == Digest.of(b"{}")


async def test_a_registry_that_stores_something_else_is_told(fake, quick):
    fake.state.claimed_digest = str(Digest.of(b"else"))
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError, match="instead of"):
            await client.push_manifest(repository_of(fake), "1", b"{}", OCI_MANIFEST)
