import os

import pytest

from registry.errors import CredentialsError
from registry.keychain.credential_helpers import ask_helper
from registry.keychain.credentials import Credentials, SecretKind
from tests.registry.scripts import write_script


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A function that makes the helper ``test`` do something."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda body: write_script(tmp_path / "docker-credential-test", body)


def _ask(host: str = "a.io", name: str = "test") -> Credentials | None:
    return ask_helper(name, host, named_by="config.json", timeout_seconds=20)


@pytest.mark.parametrize(
    ("host", "server"),
    [("a.io:5000", "a.io:5000"), ("docker.io", "https://index.docker.io/v1/")],
)
def test_a_helper_is_asked_as_docker_asks(helper, host, server):
    helper(
        f'[ "$1" = get ] && [ "$(cat)" = "{server}" ] && echo \'{{"Username": "u", "Secret": "s"}}\''
    )
    found = _ask(host)
    assert found == Credentials("u", "s")
    assert found.origin == "docker-credential-test, named by config.json"


def test_a_token_has_no_user(helper):
    helper("""echo '{"ServerURL": "a.io", "Username": "<token>", "Secret": "t"}'""")
    assert _ask() == Credentials("", "t", SecretKind.IDENTITY_TOKEN)


@pytest.mark.parametrize(
    "body",
    [
        "echo 'credentials not found in native keychain'; exit 1",
        "echo '{}'",
        """echo '{"Username": "", "Secret": ""}'""",
    ],
)
def test_a_helper_may_know_nothing(helper, body):
    helper(body)
    assert _ask() is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'aws: not found'; exit 1", "ended with 1: aws: not found"),
        ("echo secret", "not what helpers answer"),
        ("""echo '{"Secret": 1}'""", "not what helpers answer"),
    ],
)
def test_a_broken_helper_is_told_without_its_answer(helper, body, reason):
    helper(body)
    with pytest.raises(CredentialsError, match=f"docker-credential-test .*{reason}") as caught:
        _ask()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x"])
def test_a_name_that_is_none_is_not_run(name):
    with pytest.raises(CredentialsError, match=r"config\.json .*malformed"):
        _ask(name=name)
