from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from registry.errors import (
    BadResponseError,
    ContentError,
    CredentialsError,
    InvalidDigestError,
    InvalidManifestError,
    InvalidReferenceError,
    LayoutError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnauthorizedError,
    UnreachableError,
    UntrustedError,
    one_line,
)

_KINDS = [
    RegistryError,
    UnauthorizedError,
    NotFoundError,
    RateLimitedError,
    UnreachableError,
    UntrustedError,
    BadResponseError,
]


@given(st.text())
def test_what_others_wrote_fits_on_one_line(text):
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 301


@pytest.mark.parametrize("kind", _KINDS)
def test_registry_errors_say_where_what_and_what_next(kind):
    error = kind(
        "host.io",
        status=418,
        code="TEAPOT",
        detail="short\n\x1b[31mand stout",
        url="https://host.io/v2/a?signature=secret",
    )
    line = str(error)
    assert line.isprintable()
    assert "secret" not in line
    assert all(part in line for part in ("host.io", "418", "TEAPOT", "short", "/v2/a"))
    assert len(line.rpartition(": ")[2]) > 10


def test_what_may_be_tried_again():
    retryable = {kind for kind in _KINDS if kind("host.io").retryable}
    assert retryable == {RateLimitedError, UnreachableError, BadResponseError}
    assert not BadResponseError("host.io", retryable=False).retryable
    assert RegistryError("host.io", retryable=True).retryable


def test_advice_fits_the_error():
    assert "docker login host.io" in str(UnauthorizedError("host.io"))
    assert "in 7 s" in str(RateLimitedError("host.io", retry_after_seconds=7.2))
    assert "later" in str(RateLimitedError("host.io"))


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError(Path("/x"), "broken"),
        InvalidReferenceError("a b", "a space"),
        InvalidDigestError("a"),
        InvalidManifestError("sha256:1", "broken"),
        LayoutError(Path("/x"), "broken"),
    ],
)
def test_other_errors_are_one_line_too(error):
    assert isinstance(error, ContentError)
    assert str(error).isprintable()
