import dataclasses

import pytest

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, RegistryError
from registry.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Manifest
from registry.referrers import MAX_PAGES, referrers_tag
from tests.fakes.registry import Fault
from tests.registry.asking import repository_of

SUBJECT = Descriptor(OCI_MANIFEST, Digest.of(b"subject"), 7)
EMPTY = Descriptor("application/vnd.oci.empty.v1+json", Digest.of(b"{}"), 2)


def _referrer(artifact_type: str, note: str = "") -> Manifest:
    annotations = {"note": note} if note else {}
    return Manifest(OCI_MANIFEST, EMPTY, (EMPTY,), annotations, SUBJECT, artifact_type)


@pytest.mark.parametrize("knows_referrers", [True, False])
async def test_what_is_attached_is_listed(fake, quick, knows_referrers):
    fake.state.knows_referrers = knows_referrers
    fake.require_token = True
    repository = repository_of(fake)
    async with RegistryClient(quick) as client:
        assert await client.list_referrers(repository, SUBJECT.digest) == ()
        pushed = [
            await client.push_referrer(repository, _referrer(kind, note))
            for kind, note in (("test/sbom", ""), ("test/signature", "a"), ("test/signature", "b"))
        ]
        everything = await client.list_referrers(repository, SUBJECT.digest)
        signatures = await client.list_referrers(
            repository, SUBJECT.digest, artifact_type="test/signature"
        )
    assert {entry.digest for entry in everything} == set(pushed)
    assert {entry.digest for entry in signatures} == set(pushed[1:])
    assert {entry.annotations["note"] for entry in signatures} == {"a", "b"}
    kept = ("some/image", referrers_tag(SUBJECT.digest)) in fake.state.manifests
    assert kept is not knows_referrers


async def test_attaching_again_changes_nothing(fake, quick):
    fake.state.knows_referrers = False
    repository = repository_of(fake)
    async with RegistryClient(quick) as client:
        for _ in range(2):
            await client.push_referrer(repository, _referrer("test/sbom"))
        assert len(await client.list_referrers(repository, SUBJECT.digest)) == 1


async def test_the_type_of_an_artifact_may_be_that_of_its_configuration(fake, quick):
    fake.state.knows_referrers = False
    config = Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2)
    async with RegistryClient(quick) as client:
        await client.push_referrer(
            repository_of(fake), Manifest(OCI_MANIFEST, config, (), subject=SUBJECT)
        )
        await client.push_referrer(repository_of(fake), Index(OCI_INDEX, (), subject=SUBJECT))
        found = await client.list_referrers(repository_of(fake), SUBJECT.digest)
    assert [entry.artifact_type for entry in found] == [OCI_CONFIG, ""]


async def test_lists_have_an_end(fake, quick):
    for number in range(MAX_PAGES + 1):
        raw = b'{"schemaVersion":2,"subject":{"digest":"%s"},"n":%d}'
        text = raw % (str(SUBJECT.digest).encode(), number)
        fake.add_manifest("some/image", str(Digest.of(text)), text, OCI_MANIFEST)
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError, match="pages"):
            await client.list_referrers(repository_of(fake), SUBJECT.digest)


async def test_a_registry_that_fails_is_no_registry_without_referrers(fake, quick):
    fake.faults.inject(Fault.BROKEN, times=99)
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(RegistryError, match="500"):
            await client.list_referrers(repository_of(fake), SUBJECT.digest)


async def test_what_refers_to_nothing_is_no_referrer(quick, fake):
    async with RegistryClient(quick) as client:
        with pytest.raises(ValueError, match="subject"):
            await client.push_referrer(repository_of(fake), Index(OCI_INDEX, ()))
