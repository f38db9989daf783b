import pytest
from hypothesis import given, strategies as st

from registry.ranges import (
    BodyHeaders,
    BodyPlan,
    ContentRange,
    UnusableBodyError,
    dump_range,
    dump_suffix_range,
    parse_content_range,
    parse_length,
    plan_body,
    plan_tail,
)

_LIMIT = 1000


@given(st.integers(0, 1 << 50), st.integers(1, 1 << 40), st.integers(0, 1 << 40))
def test_content_ranges_are_read_as_written(start, length, more):
    stop = start + length
    header = f"bytes {start}-{stop - 1}/{stop + more}"
    assert parse_content_range(header) == ContentRange(start, stop, stop + more)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes 0-4/*",
        "bytes */5",
        "bytes 0-5/5",
        "bytes 3-2/5",
        "items 0-4/5",
        "bytes 0-4",
        "bytes 0-4/" + "9" * 20,
        "bytes \N{FULLWIDTH DIGIT ZERO}-4/5",
    ],
)
def test_what_is_no_content_range(header):
    assert parse_content_range(header) is None


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("0", 0),
        (" 17 ", 17),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 30, None),
    ],
)
def test_lengths(header, length):
    assert parse_length(header) == length


@given(st.integers(0, 1 << 50), st.integers(1, 1 << 40))
def test_ranges_are_asked_for_inclusively(start, length):
    first, _, last = dump_range(start=start, length=length).removeprefix("bytes=").partition("-")
    assert int(last) - int(first) + 1 == length
    assert dump_range(start=start, length=None) == f"bytes={start}-"
    assert dump_suffix_range(length=length) == f"bytes=-{length}"


@given(st.binary(max_size=50), st.integers(0, 60), st.none() | st.integers(1, 60), st.booleans())
def test_a_plan_takes_what_was_asked_for_or_nothing(blob, start, length, ranged):
    stop = len(blob) if length is None else start + length
    body = blob[start:stop] if ranged else blob
    headers = BodyHeaders(
        206 if ranged else 200,
        f"bytes {start}-{start + len(body) - 1}/{len(blob)}" if ranged else None,
        str(len(body)),
    )
    try:
        plan = plan_body(headers, start=start, length=length, max_unranged_bytes=_LIMIT)
    except UnusableBodyError:
        assert stop > len(blob) or start >= len(blob)
    else:
        take = None if plan.take is None else plan.skip + plan.take
        assert body[plan.skip : take] == blob[start:stop]
        assert plan.blob_bytes == len(blob)


@given(st.binary(min_size=1, max_size=50), st.integers(1, 60), st.booleans())
def test_a_plan_for_a_tail_takes_the_tail(blob, length, ranged):
    tail = blob[-length:]
    start = len(blob) - len(tail)
    partial = BodyHeaders(206, f"bytes {start}-{len(blob) - 1}/{len(blob)}", str(len(tail)))
    headers, body = (partial, tail) if ranged else (BodyHeaders(200, None, str(len(blob))), blob)
    plan = plan_tail(headers, length=length, max_unranged_bytes=_LIMIT)
    assert plan is not None
    assert plan.take is not None
    assert body[plan.skip : plan.skip + plan.take] == tail


def test_a_large_blob_is_not_read_for_its_tail():
    assert plan_tail(BodyHeaders(200, None, "1001"), length=5, max_unranged_bytes=_LIMIT) is None
    assert plan_tail(BodyHeaders(200, None, None), length=5, max_unranged_bytes=_LIMIT) is None


def test_a_whole_blob_may_come_without_a_length():
    plan = plan_body(BodyHeaders(200, None, None), start=0, length=None, max_unranged_bytes=0)
    assert plan == BodyPlan(0, None, None)


@pytest.mark.parametrize(
    "headers",
    [
        BodyHeaders(206, None, "5"),
        BodyHeaders(206, "bytes 1-5/10", "5"),
        BodyHeaders(206, "bytes 0-3/10", "5"),
        BodyHeaders(206, "bytes 0-4/10", "5", "gzip"),
        BodyHeaders(200, None, None),
        BodyHeaders(200, None, "4"),
    ],
)
def test_other_bodies_are_not_used(headers):
    with pytest.raises(UnusableBodyError):
        plan_body(headers, start=0, length=5, max_unranged_bytes=_LIMIT)


@pytest.mark.parametrize("content_range", [None, "bytes 0-4/10", "bytes 6-9/10"])
def test_other_tails_are_not_used(content_range):
    with pytest.raises(UnusableBodyError):
        plan_tail(BodyHeaders(206, content_range, "5"), length=5, max_unranged_bytes=_LIMIT)
