"""How the tests of this package ask."""

import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.reference import Repository
from tests.fakes.registry import FakeRegistry

DATA = bytes(range(256)) * 64


def repository_of(fake: FakeRegistry, name: str = "some/image") -> Repository:
    return Repository(fake.host, name)


async def read_all_tails(
    client: RegistryClient, repository: Repository, digests: list[Digest]
) -> None:
    async with trio.open_nursery() as nursery:
        for digest in digests:
            nursery.start_soon(read_tail, client, repository, digest)


async def read_tail(client: RegistryClient, repository: Repository, digest: Digest) -> None:
    assert (await client.read_tail(repository, digest, length=10)).data
