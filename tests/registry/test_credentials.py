import base64
import json
from pathlib import Path

import pytest

from registry.auth import Credentials
from registry.credentials import (
    MAX_CONFIG_BYTES,
    choose_credentials,
    docker_config_path,
    find_credentials,
)
from registry.errors import CredentialsError

_AUTH = base64.b64encode(b"user:secret").decode()
_USER = Credentials("user", "secret")


def _find(path: Path, host: str, document: object) -> Credentials | None:
    path.write_text(json.dumps(document))
    return find_credentials(host, path=path)


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_a_host_is_found_as_docker_writes_it(docker_config, key, host):
    assert _find(docker_config, host, {"auths": {key: {"auth": _AUTH}}}) == _USER
    assert _find(docker_config, "other.io", {"auths": {key: {"auth": _AUTH}}}) is None


@pytest.mark.parametrize(
    "entry",
    [{"auth": _AUTH}, {"username": "user", "password": "secret"}, {"auth": _AUTH, "x": [1]}],
)
def test_what_holds_credentials(docker_config, entry):
    assert _find(docker_config, "a.io", {"auths": {"a.io": entry}, "credsStore": "x"}) == _USER


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"auths": {}},
        {"auths": {"a.io": {}}},
        {"auths": {"a.io": {"auth": "!"}}},
        {"auths": {"a.io": {"identitytoken": "x"}}},
    ],
)
def test_what_holds_none(docker_config, document):
    assert _find(docker_config, "a.io", document) is None


def test_no_file_no_credentials(tmp_path):
    assert find_credentials("a.io", path=tmp_path / "missing" / "config.json") is None
    (tmp_path / "file").touch()
    assert find_credentials("a.io", path=tmp_path / "file" / "config.json") is None
    (tmp_path / "empty").touch()
    assert find_credentials("a.io", path=tmp_path / "empty") is None


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"auths": {"a.io": "secret"}}', b"\xff", b" " * (MAX_CONFIG_BYTES + 1)],
)
def test_a_broken_file_is_told_without_its_content(docker_config, content):
    docker_config.write_bytes(content)
    with pytest.raises(CredentialsError, match=str(docker_config)) as caught:
        find_credentials("a.io", path=docker_config)
    assert "secret" not in str(caught.value)


def test_a_directory_cannot_be_read(tmp_path):
    with pytest.raises(CredentialsError, match="directory"):
        find_credentials("a.io", path=tmp_path)


def test_where_docker_keeps_it():
    assert docker_config_path({"DOCKER_CONFIG": "/etc/d"}) == Path("/etc/d/config.json")
    assert docker_config_path({"HOME": "/home/u"}) == Path("/home/u/.docker/config.json")
    assert docker_config_path({}) == Path("/root/.docker/config.json")


def test_all_names_of_docker_hub_are_one():
    entries = {"https://index.docker.io/v1/": _USER}
    assert choose_credentials("registry-1.docker.io", entries) == _USER
