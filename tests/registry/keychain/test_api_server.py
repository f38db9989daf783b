"""Requests to a fake API server, over real TLS: who it is, who we are, and what it refuses."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ApiServerError
from registry.keychain.api_server import ApiServer
from registry.keychain.credential_settings import KubernetesSettings
from tests.authority import Authority
from tests.fakes.api_server import FakeApiServer
from tests.registry.kubeconfigs import write_kubeconfig
from tests.registry.scripts import write_script

_LIST = {"fieldSelector": "type=kubernetes.io/dockerconfigjson", "limit": "10"}


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[FakeApiServer]:
    """One that wants a client certificate."""
    with FakeApiServer(authority.issue("apiserver"), authority.certificate) as server:
        yield server


async def _ask(path: Path, server: FakeApiServer, **keywords: Any) -> bytes:
    kubeconfig = write_kubeconfig(path / "kubeconfig", server.url, **keywords)
    async with ApiServer(KubernetesSettings(kubeconfig)) as api:
        return await api.read("secrets", _LIST)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def test_a_client_certificate_in_files_and_in_the_kubeconfig(secure, authority, tmp_path):
    certificate, key = authority.issue("node")
    files = {"client-certificate": str(certificate), "client-key": str(key)}
    data = {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}
    for user, cluster in (
        (files, {"certificate-authority": str(authority.certificate)}),
        (data, {"certificate-authority-data": _data(authority.certificate)}),
        (data, {"insecure-skip-tls-verify": True}),
    ):
        assert b"SecretList" in await _ask(tmp_path, secure, user=user, cluster=cluster)


async def test_without_its_authority_the_server_is_not_believed(secure, authority, tmp_path):
    other = Authority(tmp_path / "other")
    certificate, key = authority.issue("node")
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    with pytest.raises(ApiServerError, match="certificate") as raised:
        await _ask(
            tmp_path, secure, user=user, cluster={"certificate-authority": str(other.certificate)}
        )
    assert raised.value.unreachable
    assert secure.url in str(raised.value)


async def test_without_a_client_certificate_it_hangs_up(secure, authority, tmp_path):
    cluster = {"certificate-authority": str(authority.certificate)}
    with pytest.raises(ApiServerError):
        await _ask(tmp_path, secure, cluster=cluster)


async def test_a_name_in_the_certificate_that_is_not_in_the_url(authority, tmp_path):
    certificate = authority.issue("named", hosts=("DNS:kubernetes.default",))
    cluster = {"certificate-authority": str(authority.certificate)}
    with FakeApiServer(certificate) as server:
        with pytest.raises(ApiServerError):
            await _ask(tmp_path, server, cluster=cluster)
        cluster["tls-server-name"] = "kubernetes.default"
        assert b"SecretList" in await _ask(tmp_path, server, cluster=cluster)
        assert server.names_asked_for == {server.host}


async def test_a_program_is_asked_again_for_a_token_that_is_refused(tmp_path):
    status = '{"token": "$(cat token)"}'
    body = f'cd {tmp_path}\ncat <<END\n{{"kind": "ExecCredential", "status": {status}}}\nEND'
    write_script(tmp_path / "program", body)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./program"}
    with FakeApiServer(token="one") as server:
        kubeconfig = write_kubeconfig(tmp_path / "k", server.url, user={"exec": plugin})
        async with ApiServer(KubernetesSettings(kubeconfig)) as api:
            (tmp_path / "token").write_text("one")
            await api.read("secrets", _LIST)
            (tmp_path / "token").write_text("two")
            await api.read("secrets", _LIST)  # what is kept is still good
            server.take_token("two")
            await api.read("secrets", _LIST)
            server.take_token("three")
            with pytest.raises(ApiServerError, match="401 Unauthorized") as raised:
                await api.read("secrets", _LIST)
    assert "valid credentials" in str(raised.value)
    assert "two" not in str(raised.value)


async def test_a_refusal_says_what_the_server_says(tmp_path):
    with FakeApiServer() as server:
        server.refuse(403)
        with pytest.raises(ApiServerError, match="cannot list resource") as raised:
            await _ask(tmp_path, server)
        assert (raised.value.status, raised.value.unreachable) == (403, False)


async def _read_lines(api: ApiServer) -> list[bytes]:
    query = {**_LIST, "watch": "1", "resourceVersion": "0"}
    async with api.lines("secrets", query, silence_seconds=20) as lines:
        return [line async for line in lines]


async def test_lines_that_never_end_are_given_up(tmp_path):
    with FakeApiServer() as server:
        server.put("a/large", b"x" * (5 << 20))
        kubeconfig = write_kubeconfig(tmp_path / "k", server.url)
        async with ApiServer(KubernetesSettings(kubeconfig)) as api:
            with pytest.raises(ApiServerError, match="too long"):
                await _read_lines(api)
        assert repr(api) == f"<ApiServer by {kubeconfig}>"
