import json

import pytest

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion
from registry.keychain.provider_config import (
    MAX_CONFIG_BYTES,
    CacheKeyType,
    Provider,
    dump_request,
    parse_answer,
    parse_providers,
)
from registry.reference import Repository

_V1 = "credentialprovider.kubelet.k8s.io/v1"
_YAML = f"""
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    apiVersion: {_V1}
    matchImages: ["*.dkr.ecr.*.amazonaws.com", "a.io/team"]
    defaultCacheDuration: "12h"
    args: [get-credentials]
    env:
      - name: AWS_PROFILE
        value: secret
"""


def _question(host: str = "a.io", name: str = "team/app") -> CredentialQuestion:
    return CredentialQuestion(host, Repository(host, name))


def _config(**changes: object) -> bytes:
    provider = {
        "name": "p",
        "apiVersion": _V1,
        "matchImages": ["a.io"],
        "defaultCacheDuration": "1m",
    }
    document = {"kind": "CredentialProviderConfig", "providers": [{**provider, **changes}]}
    return json.dumps(document).encode()


def test_yaml_as_the_kubelet_has_it():
    (provider,) = parse_providers(_YAML.encode(), source="file")
    assert provider == Provider(
        "ecr-credential-provider",
        _V1,
        ("*.dkr.ecr.*.amazonaws.com", "a.io/team"),
        12 * 3600.0,
        ("get-credentials",),
        (("AWS_PROFILE", "secret"),),
    )
    assert "secret" not in repr(provider)


@pytest.mark.parametrize(
    ("host", "name", "fits"),
    [
        ("1.dkr.ecr.eu-west-1.amazonaws.com", "x", True),
        ("a.io", "team/app", True),
        ("a.io", "teams", False),
        ("b.io", "team/app", False),
    ],
)
def test_for_which_images_a_program_is_asked(host, name, fits):
    (provider,) = parse_providers(_YAML.encode(), source="file")
    assert provider.fits(_question(host, name)) is fits


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"a: [", "not YAML"),
        (b"[]", "Expected `object`"),
        (b"kind: Pod", "kind is not CredentialProviderConfig"),
        (b"x" * (MAX_CONFIG_BYTES + 1), "too large"),
        (_config(name="../p"), r"provider '\.\./p': its name"),
        (_config(name=1), "providers"),
        (_config(apiVersion="v1"), "provider 'p': apiVersion 'v1' is not"),
        (_config(matchImages=[]), "matchImages is empty"),
        (_config(defaultCacheDuration="1"), "defaultCacheDuration '1' is not a duration"),
        (_config(tokenAttributes={}), "tokenAttributes wants the token of a pod"),
    ],
)
def test_a_mistake_is_told_with_its_place(raw, reason):
    with pytest.raises(CredentialsError, match=f"from file .*{reason}"):
        parse_providers(raw, source="file")


def test_the_question_as_a_program_reads_it():
    assert json.loads(dump_request(_question(), api_version=_V1)) == {
        "kind": "CredentialProviderRequest",
        "apiVersion": _V1,
        "image": "a.io/team/app",
    }


def test_an_answer():
    answer = parse_answer(
        b"""{"kind": "CredentialProviderResponse", "cacheKeyType": "Registry", "cacheDuration": "5m",
        "auth": {"*.io": {"username": "any", "password": "1"}, "a.io/team": {"username": "team", "password": "2"}}}""",
        source="p",
    )
    assert (answer.cache_key_type, answer.cache_seconds) == (CacheKeyType.REGISTRY, 300)
    assert answer.choose(_question()) == ("a.io/team", "team", "2")
    assert answer.choose(_question("b.io")) == ("*.io", "any", "1")
    assert answer.choose(_question("b.c.io")) is None
    assert "any" not in repr(answer)


def test_an_answer_may_be_that_nothing_is_known():
    answer = parse_answer(b'{"cacheKeyType": "Image", "auth": null}', source="p")
    assert answer.choose(_question()) is None
    assert answer.cache_seconds is None


@pytest.mark.parametrize(
    "raw",
    [
        b"secret",
        b"\xff",
        b'{"auth": {"a.io": {"username": "secret"}}}',
        b'{"cacheKeyType": "secret"}',
        b'{"cacheKeyType": "Image", "cacheDuration": "secret"}',
        b'{"cacheKeyType": "Image", "auth": {"a.io": "secret"}}',
    ],
)
def test_a_broken_answer_is_not_quoted(raw):
    with pytest.raises(CredentialsError, match="no CredentialProviderResponse") as caught:
        parse_answer(raw, source="p")
    assert "secret" not in str(caught.value)
