"""How an API server is reached: what the kubeconfig names, as it is at that moment."""

import base64
from pathlib import Path

import pytest

from registry.errors import CredentialsError
from registry.keychain.cluster_door import Door, open_door, read_access
from registry.keychain.credential_settings import KubernetesSettings
from registry.keychain.exec_credentials import ExecCredentials
from tests.registry.kubeconfigs import write_kubeconfig
from tests.registry.scripts import write_script

_EXEC = {"apiVersion": "client.authentication.k8s.io/v1beta1"}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def _open(kubeconfig: Path) -> Door:
    return open_door(KubernetesSettings(kubeconfig), ExecCredentials(timeout_seconds=20))


def test_tokens_are_read_when_they_are_needed(kubeconfig, tmp_path):
    write_kubeconfig(kubeconfig, "https://a", user={"tokenFile": "token"})
    for token in ("one", "two"):
        (tmp_path / "token").write_text(f"{token}\n")
        assert _open(kubeconfig).headers["Authorization"] == f"Bearer {token}"
    assert "two" not in repr(_open(kubeconfig))


def test_a_login_is_sent_where_there_is_no_token(kubeconfig):
    write_kubeconfig(kubeconfig, "https://a", user={"username": "u", "password": "p"})
    expected = f"Basic {base64.b64encode(b'u:p').decode()}"
    assert _open(kubeconfig).headers["Authorization"] == expected
    write_kubeconfig(kubeconfig, "https://a")
    assert "Authorization" not in _open(kubeconfig).headers


def test_a_programs_certificate_is_shown(kubeconfig, tmp_path):
    status = '{"clientCertificateData": "cert", "clientKeyData": "key"}'
    body = f'echo \'{{"kind": "ExecCredential", "status": {status}}}\''
    write_script(tmp_path / "program", body)
    write_kubeconfig(kubeconfig, "https://a", user={"exec": {**_EXEC, "command": "./program"}})
    tls = _open(kubeconfig).route.tls
    assert (tls.certificate, tls.key, tls.trusts_machine) == (b"cert", b"key", True)


def test_only_the_authority_it_names_is_trusted(kubeconfig, tmp_path):
    write_kubeconfig(kubeconfig, "https://a", cluster={"certificate-authority": "ca.crt"})
    with pytest.raises(CredentialsError, match=r"ca\.crt.*there is no such file"):
        _open(kubeconfig)
    (tmp_path / "ca.crt").write_bytes(b"ca")
    tls = _open(kubeconfig).route.tls
    assert (tls.authorities, tls.trusts_machine) == (b"ca", False)


def test_a_name_to_prove_and_a_proxy(kubeconfig, monkeypatch):
    cluster = {"tls-server-name": "kubernetes"}
    write_kubeconfig(kubeconfig, "https://10.0.0.1:6443/path", cluster=cluster)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    door = _open(kubeconfig)
    assert (door.url, door.route.connect_to) == ("https://kubernetes:6443/path", "10.0.0.1:6443")
    assert (door.headers["Host"], door.route.proxy) == ("10.0.0.1:6443", "http://proxy:1")
    cluster["proxy-url"] = "http://other:1"
    write_kubeconfig(kubeconfig, "https://a", cluster=cluster)
    door = _open(kubeconfig)
    assert (door.url, door.route.connect_to) == ("https://kubernetes:443", "a:443")
    assert door.route.proxy == "http://other:1"


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ({"token": "two words"}, "the token is none"),
        ({"client-key-data": "a2V5"}, "and not both"),
        ({"tokenFile": "none"}, "there is no such file"),
        ({"tokenFile": "."}, "Is a directory"),
    ],
    ids=["token", "key", "file", "directory"],
)
def test_what_cannot_be_used_is_told(kubeconfig, user, reason):
    write_kubeconfig(kubeconfig, "https://a", user=user)
    with pytest.raises(CredentialsError, match=reason) as raised:
        _open(kubeconfig)
    assert "two words" not in str(raised.value)


def test_without_a_kubeconfig_those_of_kubectl_are_read(kubeconfig, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{kubeconfig}")
    with pytest.raises(CredentialsError, match="no such kubeconfig yet"):
        read_access(None)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert read_access(None).server == "https://10.0.0.1:443"
    with pytest.raises(CredentialsError, match="no such kubeconfig yet"):
        read_access(tmp_path / "none")
    write_kubeconfig(kubeconfig, "https://a")
    assert read_access(None).server == "https://a"
