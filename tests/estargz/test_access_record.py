import contextlib
import fnmatch

import pytest
from hypothesis import given, strategies as st

from estargz.access_record import Access, match_patterns, parse_access_record, parse_patterns
from estargz.errors import RecordError
from registry.digest import Digest

_DIGEST = Digest.of(b"")


def test_a_record_of_ctr_remote() -> None:
    raw = (
        f'{{"path":"usr/bin/python3","manifestDigest":"{_DIGEST}","layerIndex":3}}\n'
        f'{{"path":"/etc/passwd","manifestDigest":"{_DIGEST}"}}\n'
        f'{{"path":"usr/bin/python3","manifestDigest":"{_DIGEST}","layerIndex":3}}\n'
    )
    assert parse_access_record(raw.encode()) == (
        Access("usr/bin/python3", _DIGEST, 3),
        Access("etc/passwd", _DIGEST, 0),
    )


def test_a_list_of_paths() -> None:
    raw = b"/b\n\n  ./a/../c \n/b\n"
    assert parse_access_record(raw) == (Access("b"), Access("c"))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b'{"path":1}',
        b'{"path":"a","manifestDigest":"x"}',
        b'{"path":""}',
        b"\xff",
        b"a" * 5000,
        b'{"path":"a","layerIndex":-1}',
    ],
)
def test_lines_that_cannot_be_understood_are_named(line: bytes) -> None:
    with pytest.raises(RecordError, match="line 2") as caught:
        parse_access_record(b"a\n" + line)
    assert caught.value.line == 2


_NAMES = ["bin", "bin/sh", "etc/passwd", "lib/a.so", "lib/x/b.so", "lib/x/y/c.so", "a]b", "a[b"]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("/bin/sh", ["bin/sh"]),
        ("bin", ["bin"]),
        ("lib/*.so", ["lib/a.so"]),
        ("lib/**/*.so", ["lib/a.so", "lib/x/b.so", "lib/x/y/c.so"]),
        ("lib/**", ["lib/a.so", "lib/x/b.so", "lib/x/y/c.so"]),
        ("**/sh", ["bin/sh"]),
        ("lib/?/?.so", ["lib/x/b.so"]),
        ("lib/[a-b].so", ["lib/a.so"]),
        ("lib/[!a].so", []),
        ("a[]]b", ["a]b"]),
        ("a[[]b", ["a[b"]),
        ("bin[/]sh", []),
        ("bin?sh", []),
        (".*", []),
    ],
)
def test_patterns(pattern: str, matched: list[str]) -> None:
    patterns = parse_patterns(pattern.encode())
    assert list(match_patterns(patterns, _NAMES)) == matched


def test_patterns_decide_the_order() -> None:
    patterns = parse_patterns(b"# first\nlib/**\n\nbin/sh\nlib/a.so\n")
    assert list(match_patterns(patterns, _NAMES))[-1] == "bin/sh"
    assert len(list(match_patterns(patterns, _NAMES))) == 4


@pytest.mark.parametrize("line", ["[b-a]", "a" * 2000])
def test_what_is_no_pattern(line: str) -> None:
    with pytest.raises(RecordError, match="line 1"):
        parse_patterns(line.encode())


_pattern = st.text("ab*?[!]-", max_size=8).filter(lambda p: "**" not in p and p.strip("/"))


@given(pattern=_pattern, name=st.text("ab-", min_size=1, max_size=8))
def test_within_a_name_patterns_mean_what_they_mean_elsewhere(pattern: str, name: str) -> None:
    try:
        patterns = parse_patterns(pattern.encode())
    except RecordError:
        return
    expected = [name] if fnmatch.fnmatchcase(name, pattern) else []
    assert list(match_patterns(patterns, [name])) == expected


@given(st.binary(max_size=200))
def test_whatever_the_bytes_only_the_known_error_comes(raw: bytes) -> None:
    for parse in (parse_access_record, parse_patterns):
        with contextlib.suppress(RecordError):
            parse(raw)
