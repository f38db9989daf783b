"""The client behind a proxy: names that only the proxy can resolve, with TLS to the registry itself."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import UnreachableError
from registry.host_settings import HostSettings
from registry.proxies import ProxySettings
from registry.reference import Repository
from registry.settings import ClientSettings
from tests.authority import Authority
from tests.fakes.connect_proxy import ConnectProxy
from tests.fakes.registry import FakeRegistry
from tests.real_registry import RealRegistry, RegistrySetup

_NAME = "registry.test"
_DATA = b"behind a proxy"


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy("user:hunter2") as proxy:
        yield proxy


def _settings(quick: ClientSettings, proxy: str, *exceptions: str) -> ClientSettings:
    return dataclasses.replace(
        quick, attempts=1, proxies=ProxySettings(f"http://{proxy}", f"http://{proxy}", exceptions)
    )


@pytest.mark.registry
async def test_tls_goes_through_the_proxy_and_the_proxy_sees_nothing(
    authority: Authority, proxy: ConnectProxy, tmp_path: Path, quick: ClientSettings
):
    certificate = authority.issue("proxied", hosts=(f"DNS:{_NAME}",))
    with RealRegistry(tmp_path, setup=RegistrySetup(certificate=certificate)) as registry:
        host = f"{_NAME}:{registry.host.rpartition(':')[2]}"
        directory = tmp_path / "certs.d" / host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
        settings = _settings(quick, f"user:hunter2@{proxy.host}")
        settings = dataclasses.replace(settings, hosts=HostSettings((tmp_path / "certs.d",)))
        await trio.Path(tmp_path / "blob").write_bytes(_DATA)
        async with RegistryClient(settings) as client:
            repository, digest = Repository(host, "some/image"), Digest.of(_DATA)
            await client.push_blob(repository, digest, tmp_path / "blob")
            assert (await client.read_tail(repository, digest, length=5)).data == _DATA[-5:]
    assert set(proxy.asked) == {f"CONNECT {host}"}
    assert "Range" not in proxy.seen


async def test_plain_http_goes_through_the_proxy_too(proxy, quick):
    with FakeRegistry() as fake:
        digest = fake.add_blob("some/image", _DATA)
        host = f"{_NAME}:{fake.host.rpartition(':')[2]}"
        settings = _settings(quick, f"user:hunter2@{proxy.host}")
        settings = dataclasses.replace(settings, plain_http_hosts=frozenset({host}))
        async with RegistryClient(settings) as client:
            got = await client.read_tail(Repository(host, "some/image"), digest, length=5)
    assert got.data == _DATA[-5:]
    assert proxy.asked == [f"GET http://{host}/v2/some/image/blobs/{digest}"]


async def test_who_may_not_use_the_proxy_is_told_so_without_the_password(proxy, quick):
    settings = _settings(quick, f"user:wrong-secret@{proxy.host}")
    async with RegistryClient(settings) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.fetch_manifest(Repository(f"{_NAME}:443", "some/image"), "1")
    assert "407" in str(caught.value)
    assert "wrong-secret" not in f"{caught.value}{caught.value!r}"


async def test_a_proxy_that_is_down_is_told(quick):
    with ConnectProxy() as gone:
        pass
    async with RegistryClient(_settings(quick, gone.host)) as client:
        with pytest.raises(UnreachableError):
            await client.fetch_manifest(Repository(f"{_NAME}:443", "some/image"), "1")


async def test_the_environments_exceptions_are_read_as_containerd_reads_them_and_not_again(
    proxy, quick, monkeypatch
):
    # libcurl would take a name in NO_PROXY for itself; what is asked through the proxy has been decided by then.
    monkeypatch.setenv("NO_PROXY", "*")
    settings = _settings(quick, f"user:hunter2@{proxy.host}")
    async with RegistryClient(settings) as client:
        with pytest.raises(UnreachableError):
            await client.fetch_manifest(Repository(f"{_NAME}:1", "some/image"), "1")
    assert proxy.asked == [f"CONNECT {_NAME}:1"]
