import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.errors import CredentialsError
from registry.keychain.credential_chain import (
    MAX_REFUSED,
    REFUSED_SECONDS,
    CredentialChain,
    credential_sources,
)
from registry.keychain.credential_settings import CredentialSettings
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.docker_config import Login
from registry.keychain.kubernetes_secrets import KubernetesSecrets, SecretName, SecretType
from registry.keychain.passed_credentials import PassedCredentials
from registry.reference import Repository
from tests.registry.scripts import write_script

_QUESTION = CredentialQuestion("a.io", Repository("a.io", "team/app"))
_FIRST, _SECOND = Credentials("first", "secret"), Credentials("second", "secret")
_BROKEN = CredentialsError("source", "broken")


class _Source:
    """Says what it is told to, and counts how often it was asked for more."""

    def __init__(self, *offers: Credentials | CredentialsError) -> None:
        self._offered = offers
        self.asked = 0

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        for offer in self._offered:
            self.asked += 1
            yield offer


def test_the_first_that_knows_something_answers_and_no_other_is_asked():
    silent, knowing, other = _Source(), _Source(_FIRST), _Source(_SECOND)
    found = CredentialChain((silent, knowing, other)).find(_QUESTION)
    assert (found.credentials, found.problems) == (_FIRST, ())
    assert other.asked == 0


def test_nobody_may_know_anything():
    assert CredentialChain((_Source(),)).find(_QUESTION).credentials is None


def test_what_is_broken_is_passed_over_and_logged_once(caplog):
    chain = CredentialChain((_Source(_BROKEN), _Source(_FIRST)))
    for _ in range(2):
        found = chain.find(_QUESTION)
        assert (found.credentials, found.problems) == (_FIRST, (_BROKEN,))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_was_refused_is_passed_over_for_a_while():
    now = 0.0
    chain = CredentialChain((_Source(_FIRST), _Source(_SECOND)), clock=lambda: now)
    chain.reject(_QUESTION, _FIRST)
    assert chain.find(_QUESTION).credentials == _SECOND
    other = CredentialQuestion("b.io", _QUESTION.repository)
    assert chain.find(other).credentials == _FIRST
    now = REFUSED_SECONDS
    assert chain.find(_QUESTION).credentials == _FIRST


def test_where_all_were_refused_the_first_is_tried_still():
    chain = CredentialChain((_Source(_FIRST), _Source(_SECOND)))
    for credentials in (_FIRST, _SECOND):
        chain.reject(_QUESTION, credentials)
    assert chain.find(_QUESTION).credentials == _FIRST


def test_memory_of_refusals_is_bounded():
    chain = CredentialChain((_Source(_FIRST),))
    for number in range(MAX_REFUSED + 5):
        chain.reject(_QUESTION, Credentials(str(number), "secret"))
    assert chain.find(_QUESTION).credentials == _FIRST


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialChain:
    """The real chain, with every source there is knowing something."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    answer = {"cacheKeyType": "Image", "auth": {"a.io": {"username": "provider", "password": "x"}}}
    write_script(tmp_path / "provider", f"echo '{json.dumps(answer)}'")
    write_script(
        tmp_path / "docker-credential-h", """echo '{"Username": "helper", "Secret": "x"}'"""
    )
    provider = {
        "name": "provider",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "matchImages": ["a.io"],
        "defaultCacheDuration": "1h",
    }
    config = tmp_path / "providers.yaml"
    config.write_text(json.dumps({"kind": "CredentialProviderConfig", "providers": [provider]}))
    file = tmp_path / "config.json"
    auths = {"a.io": {"username": "file", "password": "x"}}
    file.write_text(json.dumps({"auths": auths, "credHelpers": {"a.io": "h"}}))
    passed, secrets = PassedCredentials(), KubernetesSecrets()
    passed.put(_QUESTION.repository, Credentials("cri", "x"))
    secret = json.dumps({"auths": {"a.io": {"username": "secret", "password": "x"}}}).encode()
    secrets.put(SecretName("n", "s"), SecretType.DOCKER_CONFIG_JSON, secret)
    settings = CredentialSettings(
        logins={"a.io": Login(username="own", password="x")},
        files=(file,),
        user_files=False,
        provider_config=config,
        provider_directory=tmp_path,
    )
    return CredentialChain(credential_sources(settings, passed, secrets))


def test_the_order_of_all_sources(everything):
    users = []
    while (
        found := everything.find(_QUESTION).credentials
    ) is not None and found.username not in users:
        users.append(found.username)
        everything.reject(_QUESTION, found)
    assert users == ["own", "cri", "secret", "provider", "helper", "file"]


def test_a_report_names_every_source_and_no_secret(everything, tmp_path):
    report = everything.report(_QUESTION)
    assert [entry.source for entry in report] == [
        "configuration",
        "passed by CRI",
        "Kubernetes secrets",
        str(tmp_path / "providers.yaml"),
        str(tmp_path / "config.json"),
    ]
    assert report[-1].origins == (
        f"docker-credential-h, named by {tmp_path}/config.json",
        f"{tmp_path}/config.json, a.io",
    )
    assert not any(entry.problems for entry in report)


def test_a_report_tells_what_is_broken():
    (entry,) = CredentialChain((_Source(_BROKEN, _FIRST),)).report(_QUESTION)
    assert (entry.problems, len(entry.origins)) == ((_BROKEN,), 1)


def test_without_settings_the_users_files_are_asked(docker_config):
    sources = credential_sources(CredentialSettings(), PassedCredentials(), KubernetesSecrets())
    assert str(docker_config) in map(str, sources)


def test_other_sources_can_be_used():
    chain = CredentialChain((_Source(_FIRST),))
    chain.use((_Source(_SECOND),))
    assert chain.find(_QUESTION).credentials == _SECOND
