"""containerd's filter expressions, as ``List`` is given them.

    filter   = selector ("," selector)*            all of them must hold
    selector = field [ operator value ]            without an operator: the field is there
    field    = part ("." part)*
    part     = [A-Za-z0-9_-]+ | quoted
    operator = "==" | "!=" | "~="                  "~=" searches for a regular expression
    value    = quoted | anything without a comma or white space
    quoted   = "..." | /.../ | |...|               with the escapes of Go's strings

White space may stand between these. Several filters are alternatives; none at all accepts everything, as
does an empty one. Fields are ``name``, ``parent``, ``kind`` and ``labels.<name>``; others are never there.
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snapshotter.errors import InvalidFilterError
from snapshotter.mounts import Kind
from snapshotter.records import Record

Predicate = Callable[[Record], bool]

_MAX_CHARACTERS = 16384
_SPACE = re.compile(r"\s*")
_PART = re.compile(r"[A-Za-z0-9_-]+")
_OPERATOR = re.compile(r"[=!~]+")
_BARE_VALUE = re.compile(r"[^\s,]+")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|/(?:[^/\\\n]|\\[^\n])*/|\|(?:[^|\\\n]|\\[^\n])*\|')
_ESCAPE = re.compile(
    rb"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SIMPLE_ESCAPES = dict(zip(b"abfnrtv\\", b"\a\b\f\n\r\t\v\\", strict=True))
_OPERATORS = frozenset({"==", "!=", "~="})
_KIND_NAMES = {Kind.VIEW: "view", Kind.ACTIVE: "active", Kind.COMMITTED: "committed"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition.

    Attributes:
        field: Parts of the field's path.
        operator: How it is compared; empty if it need only be there.
        value: What it is compared with.
    """

    field: tuple[str, ...]
    operator: str = ""
    value: str = ""

    def matches(self, record: Record) -> bool:
        """Whether a snapshot fulfils the condition."""
        value = _field_value(record, self.field)
        match self.operator:
            case "==":
                return value == self.value
            case "!=":  # holds for what is not there, too
                return (value or "") != self.value
            case "~=":
                return re.search(self.value, value or "") is not None
            case _:
                return value is not None


def parse_filters(filters: Iterable[str]) -> Predicate:
    """Reads filters; what comes out accepts what any of them accepts.

    Raises:
        InvalidFilterError: one cannot be read.
    """
    alternatives = [parse_filter(text) for text in filters]
    if not alternatives:
        return lambda _: True
    return lambda record: any(
        all(selector.matches(record) for selector in selectors) for selectors in alternatives
    )


def parse_filter(text: str) -> list[Selector]:
    """Reads one filter.

    Raises:
        InvalidFilterError: it cannot be read.
    """
    if not text:
        return []
    if len(text) > _MAX_CHARACTERS:
        raise InvalidFilterError(text[:100], 0, f"longer than {_MAX_CHARACTERS} characters")
    return _Parser(text).parse()


def _field_value(record: Record, field: tuple[str, ...]) -> str | None:
    match field:
        case ("name", *_):
            return record.name
        case ("parent", *_):
            return record.parent
        case ("kind", *_):
            return _KIND_NAMES[record.kind]
        case ("labels", *rest):
            return record.labels.get(".".join(rest))
        case _:
            return None


class _Parser:
    """One pass over one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def parse(self) -> list[Selector]:
        selectors = [self._selector()]
        while self._has(","):
            selectors.append(self._selector())
        if self._position < len(self._text):
            raise self._error("expected a comma or the end")
        return selectors

    def _selector(self) -> Selector:
        field = [self._part()]
        while self._has("."):
            field.append(self._part())
        operator = self._take(_OPERATOR)
        if operator is None:
            return Selector(tuple(field))
        if operator not in _OPERATORS:
            raise self._error(f"unsupported operator {operator!r}")
        return Selector(tuple(field), operator, self._value(operator))

    def _part(self) -> str:
        part = self._take(_PART)
        if part is None:
            part = self._quoted()
        if part is None:
            raise self._error("expected a field")
        return part

    def _value(self, operator: str) -> str:
        value = self._quoted()
        if value is None:
            value = self._take(_BARE_VALUE)
        if value is None:
            raise self._error("expected a value")
        if operator == "~=":
            try:
                re.compile(value)
            except (re.error, RecursionError, OverflowError) as error:
                raise self._error(f"{value!r} is not a regular expression: {error}") from error
        return value

    def _quoted(self) -> str | None:
        quoted = self._take(_QUOTED)
        if quoted is None:
            if self._text.startswith(('"', "/", "|"), self._position):
                raise self._error("quoted text does not end")
            return None
        try:
            return _unquote(quoted)
        except ValueError as error:
            raise self._error(f"{quoted}: {error}") from error

    def _has(self, separator: str) -> bool:
        return self._take(re.compile(re.escape(separator))) is not None

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        """What stands next, if it is of that form; white space around it is passed over."""
        self._skip_space()
        match = pattern.match(self._text, self._position)
        if match is None:
            return None
        self._position = match.end()
        self._skip_space()
        return match[0]

    def _skip_space(self) -> None:
        if match := _SPACE.match(self._text, self._position):
            self._position = match.end()

    def _error(self, reason: str) -> InvalidFilterError:
        return InvalidFilterError(self._text, self._position, reason)


def _unquote(quoted: str) -> str:
    """What quoted text stands for. Escapes can spell single bytes, so it is put together from bytes."""
    quote, inner = quoted[0].encode(), quoted[1:-1].encode()

    def replace(match: re.Match[bytes]) -> bytes:
        byte, short, long, octal, simple = match.groups()
        if byte is not None:
            return bytes([int(byte, 16)])
        if short is not None or long is not None:
            return _character(int(short or long, 16))
        if octal is not None:
            return bytes([int(octal, 8)])
        if simple == quote:
            return quote
        if simple[0] in _SIMPLE_ESCAPES:
            return bytes([_SIMPLE_ESCAPES[simple[0]]])
        raise ValueError(f"unknown escape {match[0].decode(errors='replace')}")

    try:
        return _ESCAPE.sub(replace, inner).decode()
    except UnicodeError as error:
        raise ValueError("not UTF-8") from error


def _character(number: int) -> bytes:
    if number > sys.maxunicode:
        raise ValueError(f"{number:#x} is not a character")
    return chr(number).encode()
