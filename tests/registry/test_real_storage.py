"""The client against a real registry whose blobs nginx serves behind signed URLs."""

import base64
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.reference import Repository
from tests.real_registry import RealRegistry
from tests.registry.asking import read_all_tails
from tests.signed_storage import SignedStorage
from tests.token_server import TokenServer

pytestmark = pytest.mark.registry

Push = Callable[[bytes], Awaitable[Digest]]

DATA = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with TokenServer(tmp_path_factory.mktemp("realm"), users={"user": "secret"}) as realm:
        yield realm


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, realm: TokenServer
) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry"), realm) as registry:
        yield registry


@pytest.fixture(scope="module")
def storage(
    registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SignedStorage]:
    with SignedStorage(registry, tmp_path_factory.mktemp("storage")) as storage:
        yield storage


@pytest.fixture
def push(registry: RealRegistry, tmp_path: Path, docker_config: Path) -> Push:
    """Pushes a blob past the storage's front; only a user may."""

    async def push(data: bytes) -> Digest:
        path = tmp_path / "pushed"
        await trio.Path(path).write_bytes(data)
        async with RegistryClient() as client:
            digest = Digest.of(data)
            await client.push_blob(Repository(registry.host, "closed/image"), digest, path)
        return digest

    auth = base64.b64encode(b"user:secret").decode()
    docker_config.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    return push


async def test_ten_layers_behind_token_and_redirect(storage, realm, push, quick):
    digests = [await push(bytes([number]) * 5000) for number in range(10)]
    tokens, redirects, stored = (
        len(realm.scopes),
        len(storage.front_requests()),
        len(_requests(storage)),
    )
    async with RegistryClient(quick) as client:
        await read_all_tails(client, Repository(storage.host, "closed/image"), digests)
        statistics = client.statistics()
    assert len(realm.scopes) - tokens == 1
    statuses = [status for _, _, status in storage.front_requests()[redirects:]]
    # The first request tells how the registry wants to be asked.
    assert statuses == [401, *[307] * 10]
    assert [line.split()[0] for line in _requests(storage)[stored:]] == ["206"] * 10
    assert statistics.requests == 2 * 10 + 1 + 1
    # No credential has left for the storage.
    assert {line.rsplit('"', 2)[1] for line in _requests(storage)} == {"-"}


async def test_reading_goes_on_when_urls_expire(registry, push, tmp_path, quick):
    digest = await push(DATA)
    with SignedStorage(registry, tmp_path / "nginx", lifetime_seconds=1) as storage:
        repository, position = Repository(storage.host, "closed/image"), 0
        async with RegistryClient(quick) as client:
            with trio.fail_after(25):
                # A reader that goes on meets the end of the URL, and finds the blob anew.
                while not any(line.startswith("403 GET") for line in _requests(storage)):
                    position = (position + 4096) % (len(DATA) - 4096)
                    got = await client.read_range(repository, digest, start=position, length=4096)
                    assert got.data == DATA[position : position + 4096]


async def test_a_size_is_found_though_nobody_may_ask_for_it(storage, push, quick):
    digest = await push(DATA)
    async with RegistryClient(quick) as client:
        repository = Repository(storage.host, "closed/image")
        assert await client.blob_exists(repository, digest) == len(DATA)
        tail = await client.read_tail(repository, digest, length=100)
    assert (tail.data, tail.blob_bytes) == (DATA[-100:], len(DATA))


async def test_storage_that_ignores_ranges(registry, push, tmp_path, quick):
    digest = await push(DATA)
    repository_name = "closed/image"
    with SignedStorage(registry, tmp_path / "nginx", ignores_ranges=True) as storage:
        repository = Repository(storage.host, repository_name)
        async with RegistryClient(quick) as client:
            tail = await client.read_tail(repository, digest, length=100)
            got = await client.read_range(repository, digest, start=1000, length=1000)
        assert {line.split()[0] for line in storage.storage_requests()} == {"200"}
    assert (tail.data, got.data) == (DATA[-100:], DATA[1000:2000])


def _requests(storage: SignedStorage) -> list[str]:
    return storage.storage_requests()
