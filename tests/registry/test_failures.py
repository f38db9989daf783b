from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from registry.errors import (
    BadResponseError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnauthorizedError,
)
from registry.failures import Failure, error_from_failure, parse_failure_body

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "redirected", "kind", "retryable"),
    [
        (401, False, UnauthorizedError, False),
        (403, False, UnauthorizedError, False),
        (403, True, BadResponseError, True),
        (404, False, NotFoundError, False),
        (404, True, NotFoundError, False),
        (429, False, RateLimitedError, True),
        (500, False, RegistryError, True),
        (501, False, RegistryError, False),
        (503, True, RegistryError, True),
        (400, False, RegistryError, False),
    ],
)
def test_statuses_become_errors(status, redirected, kind, retryable):
    failure = Failure("host.io", "https://host.io/v2/x?s=1", status, b"", "3", redirected)
    error = error_from_failure(failure, now=_NOW)
    assert type(error) is kind
    assert (error.status, error.retryable, error.retry_after_seconds) == (status, retryable, 3.0)
    assert error.url == "https://host.io/v2/x"


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b'{"errors": [{"code": "DENIED", "message": "no"}]}', "DENIED", "no"),
        (b'{"errors": [{"code": null}]}', "", ""),
        (b'{"errors": []}', "", '{"errors": []}'),
        (b'{"errors": {}}', "", '{"errors": {}}'),
        (b"[1]", "", "[1]"),
        (b"<Error>x</Error>", "", "<Error>x</Error>"),
        (b"", "", ""),
    ],
)
def test_the_registrys_own_words(body, code, detail):
    assert parse_failure_body(body) == (code, detail)


@given(st.binary(max_size=60))
def test_any_body_makes_one_line(body):
    error = error_from_failure(Failure("host.io", "", 500, body), now=_NOW)
    assert str(error).isprintable()


def test_a_deep_body_makes_one_line():
    assert str(
        error_from_failure(Failure("host.io", "", 500, b"[" * 60_000), now=_NOW)
    ).isprintable()
