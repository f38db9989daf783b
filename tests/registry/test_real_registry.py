"""The client against a registry nobody here wrote."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import NotFoundError, UnauthorizedError
from registry.images import ImageName, open_image
from registry.manifest import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from registry.reference import Repository
from tests.fakes.cutting_proxy import CuttingProxy
from tests.real_registry import RealRegistry
from tests.token_server import TokenServer

pytestmark = pytest.mark.registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


async def _push(client: RegistryClient, repository: Repository, path: Path, data: bytes) -> Digest:
    await trio.Path(path).write_bytes(data)
    digest = Digest.of(data)
    await client.push_blob(repository, digest, path)
    return digest


async def test_what_is_pushed_is_pulled(registry, tmp_path, quick):
    layer, config = os.urandom(3 << 20), b'{"os": "linux"}'
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        name = ImageName.parse(f"{registry.host}/pushed/image:1")
        image = open_image(name, client)
        descriptors = []
        for data, media_type in ((config, OCI_CONFIG), (layer, OCI_LAYER_GZIP)):
            path = tmp_path / "blob"
            await trio.Path(path).write_bytes(data)
            digest = Digest.of(data)
            assert not await image.has_blob(digest)
            await image.push_blob(digest, path, on_progress=sent.append)
            assert await image.has_blob(digest)
            descriptors.append(Descriptor(media_type, digest, len(data)))
        raw = dump_manifest(Manifest(OCI_MANIFEST, descriptors[0], (descriptors[1],)))
        await image.push_manifest(raw, OCI_MANIFEST, tagged=True)

        assert sum(sent) == len(layer) + len(config)
        fetched = await image.fetch_manifest()
        assert (fetched.data, fetched.media_type) == (raw, OCI_MANIFEST)
        assert fetched == await image.fetch_manifest(fetched.digest)
        manifest = parse_manifest(fetched.data, media_type=fetched.media_type)
        assert isinstance(manifest, Manifest)
        assert await image.read_blob(manifest.config.digest, max_bytes=100) == config
        assert await image.read_blob(manifest.layers[0].digest, max_bytes=len(layer)) == layer


async def test_pushing_a_blob_again_sends_nothing(registry, tmp_path, quick):
    repository = Repository(registry.host, "pushed/twice")
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        digest = await _push(client, repository, tmp_path / "blob", b"once" * 1000)
        before = client.statistics()
        await client.push_blob(repository, digest, tmp_path / "blob", on_progress=sent.append)
        after = client.statistics()
    assert (after.requests - before.requests, after.bytes_sent - before.bytes_sent) == (1, 0)
    assert sent == [4000]


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 100_000])
async def test_ranges_and_tails(registry, tmp_path, size, quick):
    data = os.urandom(size)
    repository = Repository(registry.host, "ranges")
    async with RegistryClient(quick) as client:
        digest = await _push(client, repository, tmp_path / "blob", data)
        before = client.statistics().requests
        tail = await client.read_tail(repository, digest, length=1000)
        assert client.statistics().requests == before + 1
        assert (tail.start, tail.data, tail.blob_bytes) == (max(0, size - 1000), data[-1000:], size)
        start, length = size // 3, size - size // 3
        middle = await client.read_range(repository, digest, start=start, length=length)
        assert (middle.start, middle.data, middle.blob_bytes) == (start, data[start:], size)


async def test_what_is_missing_is_not_found(registry, quick):
    repository = Repository(registry.host, "missing/image")
    async with RegistryClient(quick) as client:
        assert await client.blob_exists(repository, Digest.of(b"missing")) is None
        with pytest.raises(NotFoundError) as caught:
            await client.fetch_manifest(repository, "latest")
        assert caught.value.code == "MANIFEST_UNKNOWN"
        assert caught.value.status == 404
        with pytest.raises(NotFoundError):
            await client.read_tail(repository, Digest.of(b"missing"), length=10)


@pytest.fixture
def realm(tmp_path: Path) -> Iterator[TokenServer]:
    with TokenServer(tmp_path, users={"user": "secret"}) as realm:
        yield realm


@pytest.fixture
def closed_registry(tmp_path: Path, realm: TokenServer) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path, realm) as registry:
        yield registry


def _log_in(path: Path, host: str, user: str) -> None:
    path.write_text(
        json.dumps({"auths": {host: {"auth": base64.b64encode(user.encode()).decode()}}})
    )


async def test_one_token_for_many_readers(closed_registry, realm, tmp_path, docker_config, quick):
    repository = Repository(closed_registry.host, "closed/image")
    _log_in(docker_config, closed_registry.host, "user:secret")
    async with RegistryClient(quick) as client:
        digests = [
            await _push(client, repository, tmp_path / "blob", bytes([number]) * 5000)
            for number in range(10)
        ]
    docker_config.unlink()
    before = len(realm.scopes)
    async with RegistryClient(quick) as client, trio.open_nursery() as nursery:
        for digest in digests:
            nursery.start_soon(_read_tail, client, repository, digest)
    assert realm.scopes[before:] == ["repository:closed/image:pull"]
    # One request that is refused, one for the token, one for each blob.
    assert client.statistics().requests == 12


async def _read_tail(client: RegistryClient, repository: Repository, digest: Digest) -> None:
    assert (await client.read_tail(repository, digest, length=100)).blob_bytes == 5000


async def test_pushing_without_a_login_is_refused(closed_registry, tmp_path, quick):
    repository = Repository(closed_registry.host, "closed/image")
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match=f"docker login {closed_registry.host}"):
            await _push(client, repository, tmp_path / "blob", b"not mine")


async def test_a_wrong_password_is_refused_by_the_token_server(
    closed_registry, docker_config, quick
):
    _log_in(docker_config, closed_registry.host, "user:wrong")
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError) as caught:
            await client.fetch_manifest(Repository(closed_registry.host, "closed/image"), "1")
    assert caught.value.host == closed_registry.host
    assert "token server" in caught.value.detail


async def test_blobs_are_mounted_from_one_repository_to_another(
    closed_registry, realm, tmp_path, docker_config, quick
):
    _log_in(docker_config, closed_registry.host, "user:secret")
    source, target = (Repository(closed_registry.host, name) for name in ("closed/a", "closed/b"))
    async with RegistryClient(quick) as client:
        digest = await _push(client, source, tmp_path / "blob", b"moved by name" * 1000)
        before = client.statistics()
        assert await client.mount_blob(target, digest, source=source)
        after = client.statistics()
        assert await client.blob_exists(target, digest) == 13_000
    assert after.bytes_sent == before.bytes_sent
    assert realm.scopes[1] == "repository:closed/b:pull,push repository:closed/a:pull"


async def test_what_refers_to_an_image_is_found_though_the_registry_keeps_no_list(
    registry, tmp_path, quick
):
    repository = Repository(registry.host, "signed/image")
    async with RegistryClient(quick) as client:
        empty = await _push(client, repository, tmp_path / "blob", b"{}")
        config = Descriptor(OCI_CONFIG, empty, 2)
        subject_raw = dump_manifest(Manifest(OCI_MANIFEST, config, ()))
        digest = await client.push_manifest(repository, "1", subject_raw, OCI_MANIFEST)
        subject = Descriptor(OCI_MANIFEST, digest, len(subject_raw))
        assert await client.list_referrers(repository, digest) == ()
        signature = Manifest(OCI_MANIFEST, config, (config,), {}, subject, "test/signature")
        pushed = await client.push_referrer(repository, signature)
        (found,) = await client.list_referrers(repository, digest, artifact_type="test/signature")
        assert found.digest == pushed
        assert (await client.fetch_manifest(repository, pushed)).digest == pushed


async def test_an_upload_that_breaks_off_arrives(registry, tmp_path, quick):
    data, path = os.urandom(6 << 20), tmp_path / "blob"
    await trio.Path(path).write_bytes(data)
    sent: list[int] = []
    with CuttingProxy(registry.host, after_bytes=3 << 20) as proxy:
        repository = Repository(proxy.host, "broken/off")
        async with RegistryClient(quick) as client:
            await client.push_blob(repository, Digest.of(data), path, on_progress=sent.append)
            size = len(data)
            got = await client.read_range(repository, Digest.of(data), start=0, length=size)
        assert proxy.has_cut
    assert got.data == data
    # This registry does not know how far it got, and says so; the upload starts over.
    assert min(sent) < 0
    assert sum(sent) == len(data)
