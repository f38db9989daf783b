import pytest
from hypothesis import given, strategies as st

from registry.digest import Digest
from registry.errors import InvalidReferenceError
from registry.reference import Reference, Repository, is_tag
from tests.registry.strategies import references

_DIGEST = Digest.of(b"")


@given(references())
def test_parse_undoes_str(reference):
    assert Reference.parse(str(reference)) == reference
    assert str(reference).startswith(str(reference.repository_name))


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_error(text):
    try:
        reference = Reference.parse(text)
    except InvalidReferenceError as error:
        assert str(error).isprintable()  # noqa: PT017 - both outcomes are right
    else:
        assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.7", "docker.io/library/python:3.7"),
        ("docker.io/python", "docker.io/library/python:latest"),
        ("index.docker.io/library/python:1", "docker.io/library/python:1"),
        ("user/app", "docker.io/user/app:latest"),
        ("a/b/c:1", "docker.io/a/b/c:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("ghcr.io/user/app:1", "ghcr.io/user/app:1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        (f"python@{_DIGEST}", f"docker.io/library/python@{_DIGEST}"),
        (f"host.io/x:1@{_DIGEST}", f"host.io/x:1@{_DIGEST}"),
    ],
)
def test_short_names_mean_full_ones(short, full):
    assert str(Reference.parse(short)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/",
        "UPPER",
        "host.io/",
        "host.io/UPPER",
        "a//b",
        "a:",
        "a:b:c",
        "a@sha256:12",
        "a b",
        "host.io:port/a",
        "../etc/passwd",
        "host.io/../a",
        "a" * 300,
        "x" * 2000,
        "user@host.io/a",
        "host.io/a?b",
        "host.io/a#b",
        "host.io/a%2fb",
        "a\n",
        "http://host.io/a",
        "-a",
        "a-",
    ],
)
def test_what_names_no_image(text):
    with pytest.raises(InvalidReferenceError, match="is not an image name"):
        Reference.parse(text)


def test_repositories_are_always_well_formed():
    assert str(Repository("host.io", "a/b")) == "host.io/a/b"
    for host, name in (("host.io/x", "a"), ("host.io", "../a"), ("", "a"), ("h", "")):
        with pytest.raises(InvalidReferenceError):
            Repository(host, name)


def test_tags():
    assert is_tag("v1.0_rc-1")
    assert not any(map(is_tag, ("", ".a", "a/b", "a" * 129, "é")))


def test_siblings():
    reference = Reference.parse("a.test/b:1")
    assert str(reference.sibling("-x")) == "a.test/b:1-x"
    assert reference.sibling("") == reference
    for text in (f"a.test/b@sha256:{'0' * 64}", f"a.test/b:{'1' * 128}"):
        with pytest.raises(InvalidReferenceError, match="tag"):
            Reference.parse(text).sibling("-x")
