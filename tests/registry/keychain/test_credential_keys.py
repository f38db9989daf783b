import pytest

from registry.keychain.credential_keys import fitting_keys, normalize_host
from registry.keychain.credentials import CredentialQuestion
from registry.reference import Repository


def _question(host: str, name: str = "team/app", *, registry: str = "") -> CredentialQuestion:
    return CredentialQuestion(host, Repository(registry or host, name))


def _keys(keys: list[str], question: CredentialQuestion) -> list[str]:
    return [key.text for key in fitting_keys(keys, question)]


@pytest.mark.parametrize(
    ("key", "host", "fits"),
    [
        ("ghcr.io", "ghcr.io", True),
        ("GHCR.io", "ghcr.io", True),
        ("ghcr.io", "x.ghcr.io", False),
        ("https://ghcr.io", "ghcr.io", True),
        ("https://ghcr.io/v2/", "ghcr.io", True),
        ("https://quay.io/other/v1/", "quay.io", True),  # a URL: docker looks at its host alone
        ("localhost:5000", "localhost:5000", True),
        ("localhost", "localhost:5000", False),
        ("localhost:5000", "localhost", False),
        ("[::1]:5000", "[::1]:5000", True),
        ("[::1]", "[::1]", True),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("docker.io", "docker.io", True),
        ("registry-1.docker.io", "docker.io", True),
        ("docker.io.evil.io", "docker.io", False),
        ("ghcr.io/team", "ghcr.io", True),
        ("ghcr.io/team/app", "ghcr.io", True),
        ("ghcr.io/team/", "ghcr.io", True),
        ("ghcr.io/tea", "ghcr.io", False),
        ("ghcr.io/team/app/x", "ghcr.io", False),
        ("*.ghcr.io", "x.ghcr.io", True),
        ("*.ghcr.io", "ghcr.io", False),
        ("*.ghcr.io", "x.y.ghcr.io", False),
        ("*.*.ghcr.io", "x.y.ghcr.io", True),
        ("*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-west-1.amazonaws.com", True),
        ("*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-west-1.amazonaws.com.cn", False),
        ("sub*.a.io", "sub1.a.io", True),
        ("*.a.io:5000", "b.a.io:5000", True),
        ("*.a.io:5000", "b.a.io", False),
        ("*.a.io/team", "b.a.io", True),
        ("*.a.io/other", "b.a.io", False),
        ("", "a.io", False),
        ("https://", "a.io", False),
    ],
)
def test_which_keys_are_meant(key, host, fits):
    assert _keys([key], _question(host)) == [key] * fits


def test_the_most_precise_key_comes_first():
    keys = [
        "*.a.io",
        "b.a.io",
        "https://b.a.io/else/",
        "*.a.io/team",
        "b.a.io/team/app",
        "b.a.io/team",
    ]
    assert _keys(keys, _question("b.a.io")) == [
        "b.a.io/team/app",
        "b.a.io/team",
        "*.a.io/team",
        "b.a.io",
        "*.a.io",
        "https://b.a.io/else/",
    ]


def test_a_mirrors_keys_are_its_own():
    question = _question("mirror.io", registry="docker.io")
    assert _keys(["docker.io", "mirror.io"], question) == ["mirror.io"]


def test_all_names_of_docker_hub_are_one():
    names = ("docker.io", "index.docker.io", "Registry-1.docker.io", "registry.hub.docker.com")
    assert {normalize_host(name) for name in names} == {"docker.io"}
