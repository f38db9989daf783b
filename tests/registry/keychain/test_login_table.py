import base64
import tomllib

import pytest

from registry.keychain.credentials import Credentials, SecretKind
from registry.keychain.docker_config import Login
from registry.keychain.login_table import parse_logins

_AUTH = base64.b64encode(b"user:secret").decode()


def _parse(text: str) -> dict[str, Login]:
    def error(key: str, reason: str) -> ValueError:
        return ValueError(f"{key}: {reason}")

    return parse_logins(tomllib.loads(text)["registry"]["configs"], error)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('username = "user"\npassword = "secret"', Credentials("user", "secret")),
        (f'auth = "{_AUTH}"', Credentials("user", "secret")),
        ('identitytoken = "t"', Credentials("", "t", SecretKind.IDENTITY_TOKEN)),
    ],
)
def test_logins_as_containerd_has_them(line, expected):
    logins = _parse(f'[registry.configs."a.io".auth]\n{line}')
    assert {host: login.credentials("x") for host, login in logins.items()} == {"a.io": expected}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"a.io" = 1', "auth"),
        ('"a.io".auth = "secret"', "auth"),
        ('"a.io".auth = {}', "auth"),
        ('"a.io".auth = {username = "user"}', "auth"),
        ('"a.io".auth = {username = 1}', r"auth\.username"),
        ('"a.io".auth = {auth = "secret"}', r"auth\.auth"),
        ('"a.io".auth = {pass = "secret"}', r"auth\.pass"),
        ('"a.io" = {auth = {identitytoken = "secret"}, tls = {}}', "tls"),
    ],
)
def test_a_mistake_is_told_by_its_key_and_without_secrets(text, key):
    with pytest.raises(ValueError, match=rf'^registry\.configs\."a\.io"\.{key}: ') as caught:
        _parse(f"[registry.configs]\n{text}")
    assert "secret" not in str(caught.value)
