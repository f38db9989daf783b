"""Headers as configuration files hold them: a table of texts or of lists of texts. Without I/O."""

import re
from collections.abc import Callable
from typing import Any, Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,8192}")
_RESERVED: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "range"})


def parse_headers(
    table: Any,
    error: Callable[[str, str], Exception],
) -> tuple[tuple[str, str], ...]:
    """Reads a table of headers; several values of one name become several headers.

    Args:
        table: what a TOML or JSON parser found.
        error: makes the error to raise, of a key (``header.NAME``) and a reason; values are never told.
    """
    if not isinstance(table, dict):
        raise error("header", "must be a table")
    headers: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"header.{name}"
        values = value if isinstance(value, list) else [value]
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise error(key, "is not a header that may be set")
        if not all(isinstance(text, str) and _VALUE.fullmatch(text) for text in values):
            raise error(key, "must be a text of one line, or a list of such")
        headers.extend((name, text) for text in values)
    return tuple(headers)
