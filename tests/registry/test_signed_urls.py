from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from registry.signed_urls import seconds_left

NOW = datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC)
UNIX = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("X-Amz-Date=20260101T095500Z&X-Amz-Expires=1200&X-Amz-Signature=x", 900),
        ("X-Amz-Date=20260101T100000Z&X-Amz-Expires=1200", 1200),
        # A clock that is wrong, theirs or ours: then the lifetime itself is what there is.
        ("X-Amz-Date=20260101T120000Z&X-Amz-Expires=1200", 1200),
        ("X-Amz-Date=20260101T080000Z&X-Amz-Expires=1200", 1200),
        ("X-Goog-Date=20260101T100000Z&X-Goog-Expires=60", 60),
        (f"Expires={UNIX + 30}&Signature=x", 30),
        ("sv=2022&se=2026-01-01T10%3A05%3A00Z&sig=x", 300),
        (f"Expires={UNIX - 30}", None),
        ("se=2026-01-01T09%3A00%3A00Z&sig=x", None),
        ("se=2026-01-01T10%3A05%3A00Z", None),
        ("se=2026-01-01T10%3A05%3A00&sig=x", None),
        ("X-Amz-Expires=1200", None),
        ("X-Amz-Date=20260101T100000Z&X-Amz-Expires=-5", None),
        ("X-Amz-Date=yesterday&X-Amz-Expires=soon", None),
        (f"Expires={10**30}", None),
        ("signature=x&expires=1", None),
        ("", None),
        ("&".join(["a=1"] * 1000), None),
    ],
)
def test_what_urls_say(query, seconds):
    assert seconds_left(f"https://storage.io/blob?{query}", now=NOW) == seconds


@given(st.text(max_size=60))
def test_any_url_can_be_read(text):
    left = seconds_left(f"https://storage.io/?Expires={text}", now=NOW)
    assert left is None or left > 0
