"""containerd's filter expressions, as ``List`` is given them.

    filter   = selector ("," selector)*                 all of them must hold
    selector = field [ operator value ]                 without an operator: the field is there
    field    = part ("." part)*      part  = name | quoted
    operator = "==" | "!=" | "~="    value = quoted | anything without a comma or white space

Quoted is as in Go, with double quotes; a regular expression may also stand between slashes or bars. Several filters
are alternatives; none at all accepts everything.
"""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snapshotter.errors import InvalidFilterError
from snapshotter.records import Kind, Record

Predicate = Callable[[Record], bool]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_ALTERNATIVE_QUOTED = re.compile(r"/(?:[^/\\\n]|\\.)*/|\|(?:[^|\\\n]|\\.)*\|")
_OPERATOR = re.compile("==|!=|~=")
_BARE_VALUE = re.compile(r"[^\s,]+")
_KIND_NAMES = {Kind.VIEW: "view", Kind.ACTIVE: "active", Kind.COMMITTED: "committed"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition; an empty operator asks only whether the field is there."""

    field: tuple[str, ...]
    operator: str = ""
    value: str = ""

    def matches(self, record: Record) -> bool:
        """Whether a record fulfils it."""
        value = _field(record, self.field)
        match self.operator:
            case "==":
                return value == self.value
            case "!=":
                return value != self.value
            case "~=":
                return re.search(self.value, value or "") is not None
            case _:
                return value is not None


def parse_filters(expressions: Iterable[str]) -> Predicate:
    """Reads filter expressions; the result accepts what any of them accepts.

    Raises:
        InvalidFilterError: one cannot be read.
    """
    filters = [_Parser(expression).parse() for expression in expressions]
    if not filters:
        return lambda _: True
    return lambda record: any(all(s.matches(record) for s in selectors) for selectors in filters)


def _field(record: Record, field: tuple[str, ...]) -> str | None:
    match field:
        case ("name",):
            return record.name
        case ("parent",):
            return record.parent
        case ("kind",):
            return _KIND_NAMES[record.kind]
        case ("labels", *rest):
            return record.labels.get(".".join(rest))
        case _:
            return None


class _Parser:
    """One pass over one expression."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._position = 0

    def parse(self) -> list[Selector]:
        selectors = [self._selector()]
        while self._position < len(self._text):
            if self._take(re.compile(",")) is None:
                raise self._error("a comma was expected")
            selectors.append(self._selector())
        return selectors

    def _selector(self) -> Selector:
        field = [self._part()]
        while self._take(re.compile(r"\.")) is not None:
            field.append(self._part())
        operator = self._take(_OPERATOR)
        if operator is None:
            return Selector(tuple(field))
        value = self._value(is_pattern=operator == "~=")
        return Selector(tuple(field), operator, value)

    def _part(self) -> str:
        if (name := self._take(_NAME)) is not None:
            return name
        if (quoted := self._take(_QUOTED)) is not None:
            return self._unquote(quoted)
        raise self._error("a field name was expected")

    def _value(self, *, is_pattern: bool) -> str:
        start = self._position
        if (quoted := self._take(_QUOTED)) is not None:
            value = self._unquote(quoted)
        elif is_pattern and (quoted := self._take(_ALTERNATIVE_QUOTED)) is not None:
            value = quoted[1:-1].replace("\\" + quoted[0], quoted[0])
        elif (bare := self._take(_BARE_VALUE)) is not None:
            value = bare
        else:
            raise self._error("a value was expected")
        if is_pattern:
            try:
                re.compile(value)
            except re.error as error:
                self._position = start
                raise self._error(f"{value!r} is no regular expression: {error}") from error
        return value

    def _unquote(self, quoted: str) -> str:
        try:
            value = ast.literal_eval(quoted)  # Go's escapes are a subset of Python's
        except (SyntaxError, ValueError) as error:
            raise self._error(f"{quoted} is badly quoted") from error
        return str(value)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._position)
        if match is None:
            return None
        self._position = match.end()
        return match[0]

    def _error(self, reason: str) -> InvalidFilterError:
        return InvalidFilterError(self._text, self._position, reason)
