import pytest

from registry.go_duration import parse_go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("5ns", 5e-9),
        ("+1s", 1),
        ("0", 0),
    ],
)
def test_what_go_reads(text, seconds):
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1 s", "1s ", "-1s", "1d", "1s2", "1" * 99 + "s"])
def test_what_it_does_not(text):
    with pytest.raises(ValueError, match="write 30s, 500ms or 1m30s"):
        parse_go_duration(text)
