import pytest

from registry.header_table import parse_headers


def _error(key: str, reason: str) -> ValueError:
    return ValueError(f"{key} {reason}")


def test_texts_and_lists_of_texts():
    table = {"X-Custom": "a", "Accept": ["b", "c"], "X-Empty": []}
    assert parse_headers(table, _error) == (("X-Custom", "a"), ("Accept", "b"), ("Accept", "c"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x", "header must be a table"),
        ({"a b": "x"}, "header.a b is not"),
        ({"": "x"}, "header. is not"),
        ({"Host": "x"}, "header.Host is not"),
        ({"Range": "x"}, "header.Range is not"),
        ({"X": 1}, "header.X must be"),
        ({"X": ["a", 1]}, "header.X must be"),
        ({"X": "secret\r\nY: z"}, "header.X must be"),
    ],
)
def test_what_cannot_be_sent_is_told_without_its_value(table, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_headers(table, _error)
    assert "secret" not in str(caught.value)
