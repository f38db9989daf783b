import base64
import json

import pytest

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion, Credentials, SecretKind
from registry.keychain.docker_config import (
    MAX_CONFIG_BYTES,
    login_offers,
    parse_docker_config,
    parse_dockercfg,
)
from registry.reference import Repository

_AUTH = base64.b64encode(b"user:secret").decode()
_QUESTION = CredentialQuestion("a.io", Repository("a.io", "team/app"))


def _offers(document: object) -> list[Credentials | CredentialsError]:
    config = parse_docker_config(json.dumps(document).encode(), source="file")
    return list(login_offers(config.auths, _QUESTION, source="file"))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": _AUTH}, Credentials("user", "secret")),
        ({"username": "user", "password": "secret"}, Credentials("user", "secret")),
        ({"auth": _AUTH, "email": "x", "extra": [1]}, Credentials("user", "secret")),
        ({"auth": "OnB3", "identitytoken": "t"}, Credentials("", "t", SecretKind.IDENTITY_TOKEN)),
        ({"registrytoken": "t", "auth": _AUTH}, Credentials("", "t", SecretKind.REGISTRY_TOKEN)),
    ],
)
def test_what_holds_credentials(entry, expected):
    assert _offers({"auths": {"a.io": entry}}) == [expected]


def test_where_they_are_from_is_told():
    (offer,) = _offers({"auths": {"https://a.io/v1/": {"auth": _AUTH}}})
    assert isinstance(offer, Credentials)
    assert offer.origin == "file, https://a.io/v1/"


@pytest.mark.parametrize(
    "document", [{}, {"auths": {}}, {"auths": {"a.io": {}}}, {"auths": {"b.io": {"auth": "!"}}}]
)
def test_what_holds_none(document):
    assert _offers(document) == []


def test_an_entry_that_is_broken_is_told_and_the_next_one_counts():
    broken, good = _offers({"auths": {"a.io/team": {"auth": "c2VjcmV0"}, "a.io": {"auth": _AUTH}}})
    assert isinstance(broken, CredentialsError)
    assert 'auths."a.io/team".auth is not base64' in str(broken)
    assert "secret" not in str(broken)
    assert "c2VjcmV0" not in str(broken)
    assert good == Credentials("user", "secret")


def test_the_helper_for_the_host_comes_first():
    config = parse_docker_config(
        b'{"credsStore": "all", "credHelpers": {"b.io": "b", "A.io": "a", "a.io": ""}}', source="f"
    )
    assert list(config.helpers(_QUESTION)) == ["a", "all"]


def test_the_old_file_is_the_table_alone():
    config = parse_dockercfg(json.dumps({"a.io": {"auth": _AUTH}}).encode(), source="f")
    assert list(login_offers(config.auths, _QUESTION, source="f")) == [
        Credentials("user", "secret")
    ]


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'{"auths": {"a.io": "secret"}}', b"\xff", b" " * (MAX_CONFIG_BYTES + 1)],
)
def test_a_broken_file_is_told_without_its_content(raw):
    with pytest.raises(CredentialsError, match=r"from file .*repair or remove it") as caught:
        parse_docker_config(raw, source="file")
    assert "secret" not in str(caught.value)


def test_an_empty_file_is_no_mistake():
    assert parse_docker_config(b" \n", source="f").auths == {}


def test_secrets_are_not_printed():
    config = parse_docker_config(
        json.dumps({"auths": {"a.io": {"auth": _AUTH}}}).encode(), source="f"
    )
    assert _AUTH not in repr(config)
