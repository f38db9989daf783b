import pytest
from hypothesis import given, strategies as st

from snapshotter.commands.byte_size import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4194304", 4194304),
        ("4MiB", 4 << 20),
        ("4Mi", 4 << 20),
        ("4mib", 4 << 20),
        ("64 KiB", 64 << 10),
        ("1GiB", 1 << 30),
        ("5kB", 5000),
        ("5MB", 5_000_000),
        ("5G", 5_000_000_000),
        (" 7B ", 7),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "4.5MiB", "MiB", "4TiB", "4iB", "1" * 30, "٤"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (16_054_770, "16.1 MB"),
        (3_000_000_000, "3.0 GB"),
        (4_500_000_000_000, "4.5 TB"),
    ],
)
def test_sizes_as_people_read_them(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 10**15))
def test_what_is_shown_is_short(size: int) -> None:
    assert len(format_size(size)) <= len("1000.0 TB")
