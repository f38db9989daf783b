from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from registry.errors import NotFoundError, RateLimitedError, RegistryError
from registry.retry import parse_retry_after, pause_before_retry
from registry.settings import ClientSettings

_SETTINGS = ClientSettings()
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BUSY = RegistryError("host.io", status=503, retryable=True)


@given(st.integers(1, 200), st.floats(0, 1))
def test_pauses_are_bounded_and_end(failures, jitter):
    pause = pause_before_retry(
        _BUSY, failures=failures, elapsed_seconds=0.0, settings=_SETTINGS, jitter=jitter
    )
    assert (pause is None) == (failures >= _SETTINGS.attempts)
    assert pause is None or 0 <= pause <= _SETTINGS.max_backoff_seconds


def test_pauses_double():
    pauses = [
        pause_before_retry(
            _BUSY, failures=failures, elapsed_seconds=0.0, settings=_SETTINGS, jitter=0.0
        )
        for failures in (1, 2, 3)
    ]
    assert pauses == [0.05, 0.1, 0.2]


def test_what_does_not_get_better_is_not_tried_again():
    error = NotFoundError("host.io", status=404)
    assert (
        pause_before_retry(error, failures=1, elapsed_seconds=0.0, settings=_SETTINGS, jitter=0.0)
        is None
    )


@pytest.mark.parametrize(("elapsed", "again"), [(299.0, True), (299.96, False), (1e9, False)])
def test_what_takes_too_long_is_given_up(elapsed, again):
    pause = pause_before_retry(
        _BUSY, failures=1, elapsed_seconds=elapsed, settings=_SETTINGS, jitter=0.0
    )
    assert (pause is not None) is again


@pytest.mark.parametrize(
    ("asked_for", "pause"), [(0.0, 0.05), (7.0, 7.0), (30.0, 30.0), (31.0, None)]
)
def test_the_registrys_wish_counts_up_to_a_limit(asked_for, pause):
    error = RateLimitedError("host.io", retry_after_seconds=asked_for)
    assert (
        pause_before_retry(error, failures=1, elapsed_seconds=0.0, settings=_SETTINGS, jitter=0.0)
        == pause
    )


@given(st.integers(-1000, 100_000))
def test_retry_after_as_a_date(seconds):
    header = format_datetime(_NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(header, now=_NOW) == max(0, seconds)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        (" 0 ", 0.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("9" * 400, 1e9),
    ],
)
def test_retry_after_as_seconds(header, seconds):
    assert parse_retry_after(header, now=_NOW) == seconds


@given(st.text(max_size=30))
def test_any_header_can_be_read(header):
    parse_retry_after(header, now=_NOW)
