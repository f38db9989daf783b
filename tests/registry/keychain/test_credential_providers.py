import json
from pathlib import Path

import pytest

from registry.errors import CredentialsError
from registry.keychain.credential_providers import CredentialProviders
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.reference import Repository
from tests.registry.scripts import write_script

_QUESTION = CredentialQuestion("a.io", Repository("a.io", "team/app"))


class _Site:
    """A configuration, a program that counts how often it is run, and a clock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.now = 0.0
        self.config = directory / "config.yaml"
        self.configure()
        self.providers = CredentialProviders(
            self.config, directory, timeout_seconds=20, clock=lambda: self.now
        )

    def configure(self, *, images: str = "a.io") -> None:
        provider = {
            "name": "provider",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": [images],
            "defaultCacheDuration": "10s",
            "env": [{"name": "WORD", "value": "word"}],
        }
        document = {"kind": "CredentialProviderConfig", "providers": [provider]}
        self.config.write_text(json.dumps(document))

    def program(self, *, key_type: str = "Image", duration: str = "null") -> None:
        """Answers with the number of this run as the password."""
        auth = '{"a.io": {"username": "$WORD", "password": "$runs"}}'
        answer = f'{{"cacheKeyType": "{key_type}", "cacheDuration": {duration}, "auth": {auth}}}'
        body = f"cat >> {self._directory}/asked; echo >> {self._directory}/asked\n"
        body += f"runs=$(wc -l < {self._directory}/asked)\ncat <<END\n{answer}\nEND"
        write_script(self._directory / "provider", body)

    def first(self, question: CredentialQuestion = _QUESTION) -> Credentials | CredentialsError:
        return next(self.providers.offers(question))


@pytest.fixture
def site(tmp_path: Path) -> _Site:
    return _Site(tmp_path)


def test_the_program_is_asked_and_where_it_is_from_is_told(site, tmp_path):
    site.program()
    found = site.first()
    assert found == Credentials("word", "1")
    assert isinstance(found, Credentials)
    assert found.origin == "provider provider, a.io"
    assert json.loads((tmp_path / "asked").read_text())["image"] == "a.io/team/app"


def test_answers_are_kept_as_long_as_they_are_good(site):
    site.program()
    assert [site.first(), site.first()] == [Credentials("word", "1")] * 2
    site.now = 10.0
    assert site.first() == Credentials("word", "2")
    site.program(duration='"1m"')
    site.now = 20.0
    site.first()
    site.now = 79.0
    assert site.first() == Credentials("word", "3")
    site.program(duration='"0s"')
    site.now = 80.0
    assert [site.first(), site.first()] == [Credentials("word", "4"), Credentials("word", "5")]


@pytest.mark.parametrize(("key_type", "runs"), [("Image", 2), ("Registry", 1), ("Global", 1)])
def test_for_what_else_an_answer_is_good(site, key_type, runs):
    site.program(key_type=key_type)
    site.first()
    other = CredentialQuestion("a.io", Repository("a.io", "team/other"))
    assert site.first(other) == Credentials("word", str(runs))


def test_what_was_refused_is_asked_for_anew(site):
    site.program()
    site.first()
    # Who goes on asking has found the first answer to be wrong.
    assert list(site.providers.offers(_QUESTION)) == [
        Credentials("word", "1"),
        Credentials("word", "2"),
    ]


def test_other_images_are_not_asked_about(site, tmp_path):
    site.program()
    site.configure(images="b.io")
    assert list(site.providers.offers(_QUESTION)) == []
    assert not (tmp_path / "asked").exists()


def test_what_is_broken_is_told(site, tmp_path):
    missing = site.first()
    assert isinstance(missing, CredentialsError)
    assert "no such program" in str(missing)
    write_script(tmp_path / "provider", "echo no cloud; exit 1")
    assert "no cloud" in str(site.first())
    site.config.write_text("kind: Pod")
    assert str(site.config) in str(site.first())
    site.config.unlink()
    assert "No such file" in str(site.first())
