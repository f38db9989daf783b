"""The client against a real pull-through mirror of a real registry."""

import dataclasses
import os
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.host_settings import HostSettings
from registry.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, dump_manifest
from registry.reference import Repository
from registry.settings import ClientSettings
from tests.real_registry import RealRegistry, RegistrySetup

pytestmark = pytest.mark.registry

_LAYER = os.urandom(3 << 20)


async def _push(client: RegistryClient, repository: Repository, path: Path) -> Digest:
    """A manifest, tagged 1, and one blob; the blob's digest."""
    await trio.Path(path).write_bytes(_LAYER)
    digest = Digest.of(_LAYER)
    await client.push_blob(repository, digest, path)
    raw = dump_manifest(Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, digest, len(_LAYER)), ()))
    await client.push_manifest(repository, "1", raw, OCI_MANIFEST)
    return digest


async def test_a_pull_through_mirror_is_all_that_is_asked(
    tmp_path: Path, quick: ClientSettings
) -> None:
    for name in ("registry", "mirror", "certs.d"):
        (tmp_path / name).mkdir()
    with RealRegistry(tmp_path / "registry") as registry:
        setup = RegistrySetup(upstream=f"http://{registry.host}")
        with RealRegistry(tmp_path / "mirror", setup=setup) as mirror:
            directory = tmp_path / "certs.d" / registry.host
            directory.mkdir()
            (directory / "hosts.toml").write_text(f'[host."http://{mirror.host}"]')
            repository = Repository(registry.host, "some/image")
            async with RegistryClient(quick) as plain:
                digest = await _push(plain, repository, tmp_path / "blob")
            await trio.to_thread.run_sync(registry.wait_for_line, "PUT /v2/some/image/manifests/1")
            pushed = len(registry.lines())
            hosts = HostSettings((tmp_path / "certs.d",))
            async with RegistryClient(dataclasses.replace(quick, hosts=hosts)) as client:
                by_tag = await client.fetch_manifest(repository, "1")
                by_digest = await client.fetch_manifest(repository, by_tag.digest)
                tail = await client.read_tail(repository, digest, length=1000)
                part = await client.read_range(repository, digest, start=5, length=1 << 20)
        assert not any("pyestargz" in line for line in registry.lines()[pushed:])
    assert by_digest.data == by_tag.data
    assert (tail.data, part.data) == (_LAYER[-1000:], _LAYER[5 : 5 + (1 << 20)])
