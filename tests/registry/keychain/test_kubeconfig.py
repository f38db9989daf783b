"""Kubeconfig files: what kubectl would read in them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from registry.errors import CredentialsError
from registry.keychain.kubeconfig import (
    SERVICE_ACCOUNT,
    ClusterAccess,
    ExecPlugin,
    in_cluster_access,
    kubeconfig_files,
    parse_kubeconfig,
)

_PATH = Path("/etc/kubernetes/node.conf")
_EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}


def _document(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://a:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "preferences": {},
    }


def _parse(document: object) -> ClusterAccess:
    return parse_kubeconfig([(_PATH, json.dumps(document).encode())])


def _read(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> ClusterAccess:
    return _parse(_document(cluster, user))


def test_files_are_beside_the_kubeconfig_and_data_counts_more():
    cluster = {
        "certificate-authority": "pki/ca.crt",
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy:3128",
    }
    user = {
        "client-certificate": "/abs/node.crt",
        "client-key": "ignored",
        "client-key-data": base64.b64encode(b"key").decode(),
        "tokenFile": "token",
        "token": "ignored",
    }
    access = _read(cluster, user)
    assert access == ClusterAccess(
        source=str(_PATH),
        server="https://a:6443",
        authorities=_PATH.parent / "pki" / "ca.crt",
        server_name="kubernetes",
        proxy="http://proxy:3128",
        certificate=Path("/abs/node.crt"),
        key=b"key",
        token=_PATH.parent / "token",
    )


def test_nothing_secret_is_printed():
    user = {"token": "hush", "username": "me", "password": "hush", "client-key-data": "aHVzaA=="}
    assert "hush" not in repr(_read({"proxy-url": "http://a:hush@proxy"}, user))


def test_a_program_is_told_of_the_cluster_if_it_asks():
    env = [{"name": "AWS_PROFILE", "value": "node"}]
    entry: dict[str, Any] = {**_EXEC, "args": ["token"], "env": env, "installHint": "get it"}
    access = _read({"insecure-skip-tls-verify": True}, {"exec": entry})
    assert not access.verify
    assert access.plugin == ExecPlugin(
        "aws", _EXEC["apiVersion"], ("token",), (("AWS_PROFILE", "node"),), "get it"
    )
    entry = {**_EXEC, "command": "./bin/aws", "provideClusterInfo": True}
    plugin = _read({"certificate-authority-data": "Y2E="}, {"exec": entry}).plugin
    assert plugin is not None
    assert plugin.command == "/etc/kubernetes/bin/aws"
    assert plugin.cluster == {"server": "https://a:6443", "certificate-authority-data": b"ca"}


def test_several_files_are_one_and_the_first_counts():
    other = _document({"server": "https://b"}, {"token": "b"})
    other["current-context"] = "there"
    first: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": "https://first"}}],
        "users": None,
    }
    files = [(Path("/1"), json.dumps(first).encode()), (Path("/2"), json.dumps(other).encode())]
    other["contexts"].append({"name": "there", "context": {"cluster": "c", "user": "u"}})
    files[1] = (Path("/2"), json.dumps(other).encode())
    access = parse_kubeconfig(files)
    assert (access.server, access.token) == ("https://first", "b")


def test_a_context_may_have_no_user():
    document = _document()
    document["contexts"][0]["context"]["user"] = ""
    assert _parse(document).token == ""


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([1], "Expected `object`"),
        ({}, "no current-context"),
        ({**_document(), "contexts": []}, "no context 'here'"),
        ({**_document(), "clusters": []}, "no cluster 'c'"),
        ({**_document(), "users": []}, "no user 'u'"),
        (_document({"server": "a:6443"}), "not an http or https URL"),
        (_document({"certificate-authority-data": "~"}), "certificate-authority-data is not base64"),
        (_document(user={"token": 5}), r"users\[0\]"),
        (_document(user={"auth-provider": {"name": "gcp"}}), "use exec"),
        (_document(user={"as": "root"}), "not supported"),
        (_document(user={"exec": {"command": "x", "apiVersion": "v0"}}), "exec.apiVersion 'v0'"),
        (_document(user={"exec": {**_EXEC, "interactiveMode": "Always"}}), "nobody is here"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_used_is_told_with_the_file(document, reason):
    with pytest.raises(CredentialsError, match=reason) as raised:
        _parse(document)
    assert str(_PATH) in str(raised.value)


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"{", "not YAML"), (b" " * (1 << 21), "too large")], ids=["yaml", "large"]
)
def test_what_is_no_kubeconfig(raw, reason):
    with pytest.raises(CredentialsError, match=reason):
        parse_kubeconfig([(_PATH, raw)])


def test_a_pod_knows_its_cluster():
    assert in_cluster_access({}) is None
    access = in_cluster_access(
        {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    )
    assert access is not None
    assert (access.server, access.token) == ("https://[fd00::1]:443", SERVICE_ACCOUNT / "token")


def test_where_kubectl_looks():
    assert kubeconfig_files({"KUBECONFIG": "/a::/b"}, user=0) == (Path("/a"), Path("/b"))
    assert kubeconfig_files({"HOME": "/h"}, user=1) == (Path("/h/.kube/config"),)
    assert kubeconfig_files({}, user=0) == (Path("/root/.kube/config"),)
