import json
import logging
import sys

import pytest

from fs.log import JsonFormatter, LogLevel, log_to_stderr


def format_record(level: int, **more) -> dict[str, object]:
    record = logging.LogRecord("name", level, "file", 1, "saw %s", ("it",), None)
    record.__dict__.update(more)
    line: dict[str, object] = json.loads(JsonFormatter().format(record))
    return line


def test_a_line_has_level_message_time_and_fields() -> None:
    line = format_record(logging.INFO, fields={"layer": "sha256:1"})
    assert list(line) == ["level", "msg", "time", "layer"]
    assert (line["level"], line["msg"], line["layer"]) == ("info", "saw it", "sha256:1")


@pytest.mark.parametrize(
    ("level", "name"),
    [(logging.DEBUG, "debug"), (logging.WARNING, "warning"), (logging.CRITICAL, "fatal")],
)
def test_levels_have_the_names_that_tools_know(level: int, name: str) -> None:
    assert format_record(level)["level"] == name


def test_line_breaks_stay_inside_a_line() -> None:
    record = logging.LogRecord("name", logging.INFO, "file", 1, "a\nb", (), None)
    assert "\n" not in JsonFormatter().format(record)


def test_a_traceback_goes_into_its_own_key() -> None:
    try:
        raise ValueError("oops")  # noqa: TRY301 - a traceback is wanted
    except ValueError:
        line = format_record(logging.ERROR, exc_info=sys.exc_info())
    assert "ValueError: oops" in str(line["traceback"])


@pytest.mark.parametrize("level", list(LogLevel))
def test_every_level_can_be_asked_for(level: LogLevel) -> None:
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    try:
        log_to_stderr(level)
        assert root.level in (10, 20, 30, 40, 50)
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
