"""The client against real registries behind TLS, proxies and passwords."""

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import UnauthorizedError, UnreachableError, UntrustedError
from registry.host_settings import HostSettings
from registry.reference import Repository
from registry.settings import ClientSettings
from tests.authority import Authority
from tests.real_registry import RealRegistry, RegistrySetup

pytestmark = pytest.mark.registry

_DATA = b"behind TLS" * 100


@pytest.fixture(scope="module")
def tls_registry(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealRegistry]:
    """A registry with TLS, a private authority, client certificates, and a password."""
    setup = RegistrySetup(
        users={"user": "secret"},
        certificate=authority.issue("server"),
        client_authority=authority.certificate,
    )
    with RealRegistry(tmp_path_factory.mktemp("tls"), setup=setup) as registry:
        yield registry


@pytest.fixture
def hosts_file(tmp_path: Path, tls_registry: RealRegistry) -> Path:
    port = tls_registry.host.rpartition(":")[2]
    path = tmp_path / "certs.d" / f"127.0.0.1_{port}_" / "hosts.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def settings(quick: ClientSettings, tmp_path: Path) -> ClientSettings:
    return dataclasses.replace(quick, attempts=1, hosts=HostSettings((tmp_path / "certs.d",)))


async def _push(settings: ClientSettings, registry: RealRegistry, path: Path) -> None:
    await trio.Path(path).write_bytes(_DATA)
    repository = Repository(registry.host, "some/image")
    digest = Digest.of(_DATA)
    async with RegistryClient(settings) as client:
        await client.push_blob(repository, digest, path)
        got = await client.read_tail(repository, digest, length=10)
    assert got.data == _DATA[-10:]


def _log_in(docker_config: Path, host: str) -> None:
    auth = base64.b64encode(b"user:secret").decode()
    docker_config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def _mutual(authority: Authority, registry: RealRegistry) -> str:
    certificate, key = authority.issue("client")
    return (
        f'server = "https://{registry.host}"\nca = "{authority.certificate}"\n'
        f'client = [["{certificate}", "{key}"]]\n'
    )


async def test_a_private_authority_a_client_certificate_and_a_password(
    tls_registry, authority, hosts_file, settings, docker_config, tmp_path
):
    _log_in(docker_config, tls_registry.host)
    hosts_file.write_text(_mutual(authority, tls_registry))
    await _push(settings, tls_registry, tmp_path / "blob")


async def test_certificates_beside_each_other_as_docker_has_them(
    tls_registry, authority, hosts_file, settings, docker_config, tmp_path
):
    _log_in(docker_config, tls_registry.host)
    certificate, key = authority.issue("client")
    for name, source in (
        ("ca.crt", authority.certificate),
        ("client.cert", certificate),
        ("client.key", key),
    ):
        (hosts_file.parent / name).write_bytes(source.read_bytes())
    await _push(settings, tls_registry, tmp_path / "blob")


async def test_without_the_authority_the_server_is_not_believed(
    tls_registry, hosts_file, settings, tmp_path
):
    hosts_file.write_text(f'server = "https://{tls_registry.host}"')
    with pytest.raises(UntrustedError, match=r"hosts\.toml"):
        await _push(settings, tls_registry, tmp_path / "blob")


async def test_without_a_client_certificate_the_server_hangs_up(
    tls_registry, authority, hosts_file, settings, tmp_path
):
    hosts_file.write_text(f'server = "https://{tls_registry.host}"\nca = "{authority.certificate}"')
    with pytest.raises(UnreachableError):
        await _push(settings, tls_registry, tmp_path / "blob")


async def test_without_a_password_it_is_refused(
    tls_registry, authority, hosts_file, settings, tmp_path
):
    hosts_file.write_text(_mutual(authority, tls_registry))
    with pytest.raises(UnauthorizedError, match=f"docker login {tls_registry.host}"):
        await _push(settings, tls_registry, tmp_path / "blob")


async def test_verification_may_be_skipped(
    tls_registry, authority, hosts_file, settings, docker_config, tmp_path
):
    _log_in(docker_config, tls_registry.host)
    text = _mutual(authority, tls_registry).replace("ca = ", "# ca = ")
    hosts_file.write_text(f"skip_verify = true\n{text}")
    await _push(settings, tls_registry, tmp_path / "blob")
