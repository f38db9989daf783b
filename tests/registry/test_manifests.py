import pytest

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, InvalidReferenceError, NotFoundError
from registry.manifest import OCI_INDEX
from tests.fakes.registry import Fault
from tests.registry.asking import repository_of

RAW = b'{"schemaVersion":2,"manifests":[]}'


async def test_by_tag_and_by_digest(fake, quick):
    digest = fake.add_manifest("some/image", "1", RAW, OCI_INDEX)
    async with RegistryClient(quick) as client:
        by_tag = await client.fetch_manifest(repository_of(fake), "1")
        assert by_tag == await client.fetch_manifest(repository_of(fake), digest)
    assert (by_tag.data, by_tag.media_type, by_tag.digest) == (RAW, OCI_INDEX, digest)


async def test_wrong_bytes_are_fetched_again(fake, quick):
    fake.add_manifest("some/image", "1", RAW, OCI_INDEX)
    fake.faults.inject(Fault.WRONG_BYTES, kinds=("manifest",))
    async with RegistryClient(quick) as client:
        assert (await client.fetch_manifest(repository_of(fake), "1")).data == RAW


async def test_what_is_stored_is_what_was_sent(fake, quick):
    async with RegistryClient(quick) as client:
        digest = await client.push_manifest(repository_of(fake), "1", RAW, OCI_INDEX)
        assert digest == Digest.of(RAW)
        fake.state.claimed_digest = str(Digest.of(b"other"))
        with pytest.raises(BadResponseError, match="instead of"):
            await client.push_manifest(repository_of(fake), "1", RAW, OCI_INDEX)


async def test_what_is_not_there_and_what_is_no_name(fake, quick):
    async with RegistryClient(quick) as client:
        with pytest.raises(NotFoundError):
            await client.fetch_manifest(repository_of(fake), "1")
        with pytest.raises(InvalidReferenceError):
            await client.fetch_manifest(repository_of(fake), "not a tag")
