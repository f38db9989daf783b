"""What to put first in a layer: records of what a container opened, lists of paths, and patterns. No I/O.

A record is what ``ctr-remote images optimize`` writes, one JSON object on a line; the same file may hold plain paths
instead. A list of patterns is for people: ``*`` and ``?`` stay inside a name, ``**`` crosses directories.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from estargz.errors import RecordError
from estargz.tar_stream import clean_name
from registry.digest import Digest
from registry.errors import InvalidDigestError

MAX_RECORD_BYTES: Final = 64 << 20
_MAX_PATH_BYTES: Final = 4095
_MAX_PATTERN_BYTES: Final = 1024
_TOKENS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Access:
    """A path that was opened; where the record says so, in a layer of an image's manifest."""

    path: str
    manifest: Digest | None = None
    layer_index: int = 0


class _Line(msgspec.Struct, rename="camel"):
    path: str
    manifest_digest: str = ""
    layer_index: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0


_LINE: Final = msgspec.json.Decoder(_Line)


def parse_access_record(raw: bytes) -> tuple[Access, ...]:
    """Reads a record, or a list of paths; the order is that of the lines, and repetitions are dropped.

    Raises:
        RecordError: it is too large, or a line is neither.
    """
    accesses = (
        _parse_json(number, line) if line.startswith("{") else Access(_path(number, line))
        for number, line in _lines(raw)
    )
    return tuple(dict.fromkeys(accesses))


def parse_patterns(raw: bytes) -> tuple[str, ...]:
    """Reads a list of paths and patterns; lines that begin with ``#`` are comments.

    Raises:
        RecordError: it is too large, or a line is no pattern.
    """
    patterns = []
    for number, line in _lines(raw):
        if line.startswith("#"):
            continue
        if len(line.encode()) > _MAX_PATTERN_BYTES:
            raise RecordError(number, f"a pattern of more than {_MAX_PATTERN_BYTES} bytes")
        _compile(number, line)
        patterns.append(line)
    return tuple(patterns)


def match_patterns(patterns: Sequence[str], names: Iterable[str]) -> Iterator[str]:
    """The names that match: pattern by pattern, and within one in the order of the names, each once.

    ``patterns`` are ones that ``parse_patterns`` gave.
    """
    listed, given = list(names), set[str]()
    for pattern in patterns:
        matches = _compile(0, pattern).fullmatch
        for name in listed:
            if name not in given and matches(name):
                given.add(name)
                yield name


def _lines(raw: bytes) -> Iterator[tuple[int, str]]:
    if len(raw) > MAX_RECORD_BYTES:
        raise RecordError(0, f"the list has more than {MAX_RECORD_BYTES} bytes")
    for number, line in enumerate(raw.splitlines(), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            raise RecordError(number, "it is not UTF-8") from None
        if text:
            yield number, text


def _parse_json(number: int, line: str) -> Access:
    try:
        parsed = _LINE.decode(line)
        manifest = Digest.parse(parsed.manifest_digest) if parsed.manifest_digest else None
    except (msgspec.MsgspecError, RecursionError, InvalidDigestError) as error:
        raise RecordError(number, str(error)) from None
    return Access(_path(number, parsed.path), manifest, parsed.layer_index)


def _path(number: int, text: str) -> str:
    if not text or "\0" in text or len(text.encode(errors="replace")) > _MAX_PATH_BYTES:
        raise RecordError(number, "it is not a path")
    return clean_name(text)


def _compile(number: int, pattern: str) -> re.Pattern[str]:
    body = "".join(map(_translate, _TOKENS.findall(pattern.removeprefix("./").strip("/"))))
    try:
        with warnings.catch_warnings():
            # What may mean something else in Pythons to come: "--" and the like between brackets.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(body, re.DOTALL)
    except re.error as error:
        raise RecordError(number, f"{pattern!r} is not a pattern ({error})") from None


def _translate(token: str) -> str:
    match token:
        case "**/":
            return "(?:.*/)?"
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case _ if len(token) == 1:
            return re.escape(token)
        case _:
            return _translate_class(token[1:-1])


def _translate_class(inner: str) -> str:
    """What is between the brackets; a leading ``]`` is a member, and so is ``[``."""
    negation = "^" if inner.startswith("!") else ""
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner.removeprefix("!"))
    return f"(?!/)[{negation}{members}]"
