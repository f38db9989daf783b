"""containerd's filter language: what is written selects what is meant, and nonsense is named."""

import contextlib
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given, strategies as st

from snapshotter.errors import InvalidFilterError
from snapshotter.filters import Selector, parse_filter, parse_filters
from snapshotter.mounts import Kind
from snapshotter.records import Record, Usage

# Go's strings are UTF-8, and filters must not hold zero characters.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def record(
    name: str = "n",
    parent: str = "",
    kind: Kind = Kind.ACTIVE,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Record:
    return Record(1, name, parent, kind, labels, 0, 0, Usage())


def quote(text: str, mark: str = '"') -> str:
    """As Go's strconv.Quote does, more or less."""
    out = []
    for character in text:
        if character in ("\\", mark):
            out.append("\\" + character)
        elif character.isprintable() and ord(character) < 0x80:
            out.append(character)
        else:
            out.append(f"\\U{ord(character):08x}")
    return mark + "".join(out) + mark


def accepts(text: str, candidate: Record) -> bool:
    return parse_filters([text])(candidate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", [Selector(("name",))]),
        ("name==foo", [Selector(("name",), "==", "foo")]),
        ("name!=foo,kind==view", [Selector(("name",), "!=", "foo"), Selector(("kind",), "==", "view")]),
        ("labels.a.b", [Selector(("labels", "a", "b"))]),
        ('labels."a.b/c"==x/y:z', [Selector(("labels", "a.b/c"), "==", "x/y:z")]),
        ('labels."very complex label"==something', [Selector(("labels", "very complex label"), "==", "something")]),
        ("labels.foo-bar_9==1", [Selector(("labels", "foo-bar_9"), "==", "1")]),
        ("labels.0==1", [Selector(("labels", "0"), "==", "1")]),
        ("name~=/^foo.+/", [Selector(("name",), "~=", "^foo.+")]),
        (r"name~=/a\/b/", [Selector(("name",), "~=", "a/b")]),
        ("name~=|a/b|", [Selector(("name",), "~=", "a/b")]),
        (r'name=="\t\x41\u00e9\U0001f600\101\\\""', [Selector(("name",), "==", '\tAé😀A\\"')]),
        (r'name=="\xc3\xa9"', [Selector(("name",), "==", "é")]),
        (" name == foo , kind ", [Selector(("name",), "==", "foo"), Selector(("kind",))]),
        ('parent!=""', [Selector(("parent",), "!=", "")]),
        ("name==a==b", [Selector(("name",), "==", "a==b")]),
        ("", []),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: list[Selector]) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("==foo", "expected a field"),
        ("name==", "expected a value"),
        ("name=foo", "unsupported operator '='"),
        ("name===foo", "unsupported operator '==='"),
        ("name==foo,", "expected a field"),
        ("name==foo bar", "expected a comma or the end"),
        ("name.==foo", "expected a field"),
        ('name=="foo', "does not end"),
        ('labels."foo==x', "does not end"),
        (r'name=="\q"', "unknown escape"),
        (r'name=="\/"', "unknown escape"),
        (r'name=="\xff"', "not UTF-8"),
        (r'name=="\U00110000"', "not a character"),
        (r'name=="\ud800"', "not UTF-8"),
        (r'name=="\x4"', "unknown escape"),
        ("name~=(", "not a regular expression"),
        ("name~=/[/", "not a regular expression"),
        ("näme==x", "expected a comma or the end"),
        ("x" * 20000, "longer than"),
    ],
)
def test_what_cannot_be_read(text: str, reason: str) -> None:
    with pytest.raises(InvalidFilterError, match=reason) as caught:
        parse_filter(text)
    assert 0 <= caught.value.position <= len(text)


def test_fields() -> None:
    candidate = record("n", "p", Kind.COMMITTED, {"a": "1"})
    for text in ("name==n", "parent==p", "kind==committed", "labels.a==1", "name", "labels.a"):
        assert accepts(text, candidate)
    for text in ("name==x", "labels.b", "labels", "other", "other==x", "kind==view"):
        assert not accepts(text, candidate)


def test_what_is_not_there_differs_from_everything() -> None:
    assert accepts("labels.a!=1", record())
    assert not accepts("labels.a==1", record())
    assert not accepts('labels.a==""', record())
    assert accepts('parent==""', record())


def test_expressions_search() -> None:
    assert accepts("name~=b.d", record("abcde"))
    assert not accepts("name~=^b", record("abcde"))
    assert accepts("labels.a~=/^$/", record())


def test_no_filter_and_an_empty_one_accept_everything() -> None:
    assert parse_filters([])(record())
    assert parse_filters([""])(record())


@given(name=TEXT, value=TEXT, mark=st.sampled_from('"/|'))
def test_any_label_and_value_can_be_asked_for(name: str, value: str, mark: str) -> None:
    text = f"labels.{quote(name)}=={quote(value, mark)}"
    holder = record(labels={name: value})
    assert accepts(text, holder)
    assert not accepts(text, record())
    assert not accepts(text, record(labels={name: value + "x"}))
    assert accepts(f"labels.{quote(name)}!={quote(value + 'x', mark)}", holder)


@given(st.lists(st.sampled_from(["name==n", "name==x", "parent==p", "kind==view", "labels.a"])))
def test_a_comma_means_and_and_a_further_filter_means_or(texts: list[str]) -> None:
    candidate = record("n", "p", labels={"a": "1"})
    each = [accepts(text, candidate) for text in texts]
    assert parse_filters(texts)(candidate) is (any(each) or not each)
    assert accepts(",".join(texts), candidate) is all(each)


@given(st.text(max_size=60) | st.text('names.kidl"/|\\=!~, x0u', max_size=40))
def test_nothing_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(InvalidFilterError):
        parse_filters([text])(record())
