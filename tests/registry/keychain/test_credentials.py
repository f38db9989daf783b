import base64

import pytest
from hypothesis import given, strategies as st

from registry.keychain.credentials import Credentials, SecretKind

_WORDS = st.text().filter(lambda word: word == word.strip("\0"))


@given(_WORDS.filter(lambda name: name and ":" not in name), _WORDS)
def test_credentials_survive_their_header(username, password):
    credentials = Credentials(username, password)
    header = credentials.authorization
    assert header is not None
    assert Credentials.from_base64(header.removeprefix("Basic ")) == credentials


@pytest.mark.parametrize("text", ["", "!", base64.b64encode(b"no colon").decode(), "OnB3"])
def test_what_holds_no_credentials(text):
    assert Credentials.from_base64(text) is None


def test_what_old_dockers_left_behind_passwords():
    text = base64.b64encode(b"user:secret\0\0").decode()
    assert Credentials.from_base64(text) == Credentials("user", "secret")


def test_tokens_are_sent_as_they_are_or_not_at_all():
    assert Credentials("", "t", SecretKind.REGISTRY_TOKEN).authorization == "Bearer t"
    assert Credentials("", "t", SecretKind.IDENTITY_TOKEN).authorization is None


def test_secrets_are_not_printed():
    credentials = Credentials("user", "secret", origin="a file")
    assert "secret" not in repr([credentials])
    assert "a file" in repr(credentials)
