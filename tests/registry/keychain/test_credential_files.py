import base64
import json
import os
from pathlib import Path

import pytest

from registry.errors import CredentialsError
from registry.keychain.credential_files import CredentialFile, credential_files, user_files
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.reference import Repository
from tests.registry.scripts import write_script

_AUTH = base64.b64encode(b"user:secret").decode()
_QUESTION = CredentialQuestion("a.io", Repository("a.io", "app"))


def _offers(path: Path) -> list[Credentials | CredentialsError]:
    return list(CredentialFile(path, helper_timeout_seconds=20).offers(_QUESTION))


def test_where_credentials_are_looked_for():
    assert [str(path) for path in credential_files({}, user=0)] == [
        "/root/.docker/config.json",
        "/run/containers/0/auth.json",
        "/root/.config/containers/auth.json",
        "/root/.dockercfg",
        "/var/lib/kubelet/config.json",
    ]
    environment = {
        "HOME": "/h",
        "REGISTRY_AUTH_FILE": "/r.json",
        "DOCKER_CONFIG": "/d",
        "XDG_RUNTIME_DIR": "/run/user/7",
        "XDG_CONFIG_HOME": "/c",
    }
    assert [str(path) for path in credential_files(environment, user=7)] == [
        "/r.json",
        "/d/config.json",
        "/run/user/7/containers/auth.json",
        "/run/containers/7/auth.json",
        "/c/containers/auth.json",
        "/h/.dockercfg",
    ]


def test_a_file_is_one_of_them_only_once():
    paths = credential_files({"REGISTRY_AUTH_FILE": "/root/.docker/config.json"}, user=0)
    assert len(paths) == len(set(paths))


def test_the_files_of_this_process(docker_config):
    assert str(docker_config) in map(str, user_files(helper_timeout_seconds=1))


def test_a_login_takes_effect_at_once(tmp_path):
    path = tmp_path / "config.json"
    assert _offers(path) == []
    path.write_text(json.dumps({"auths": {"a.io": {"auth": _AUTH}}}))
    assert _offers(path) == [Credentials("user", "secret")]


def test_the_old_file_has_its_own_shape(tmp_path):
    path = tmp_path / ".dockercfg"
    path.write_text(json.dumps({"a.io": {"auth": _AUTH}}))
    assert _offers(path) == [Credentials("user", "secret")]


def test_a_helper_comes_before_the_file_and_a_broken_one_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"a.io": {"auth": _AUTH}}, "credsStore": "test"}))
    problem, stored = _offers(path)
    assert isinstance(problem, CredentialsError)
    assert "docker-credential-test" in str(problem)
    assert stored == Credentials("user", "secret")
    write_script(tmp_path / "docker-credential-test", """echo '{"Username": "u", "Secret": "s"}'""")
    assert _offers(path) == [Credentials("u", "s"), stored]


@pytest.mark.parametrize("kind", ["broken", "directory"])
def test_a_file_that_cannot_be_used_is_told(tmp_path, kind):
    path = tmp_path / "config.json"
    if kind == "broken":
        path.write_text("{")
    else:
        path.mkdir()
    (problem,) = _offers(path)
    assert isinstance(problem, CredentialsError)
    assert str(path) in str(problem)


def test_a_place_that_cannot_be_is_no_mistake(tmp_path):
    (tmp_path / "file").touch()
    assert _offers(tmp_path / "file" / "config.json") == []
