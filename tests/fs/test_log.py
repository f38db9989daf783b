import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fs.log import JsonFormatter, LogLevel, log_to_stderr, set_level


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


_WRITER = """
import logging, os, sys
from pathlib import Path
from fs import log
log.MAX_LOG_BYTES = 1000
log.log_to_file(Path(sys.argv[1]), log.LogLevel.INFO)
for number in range(100):
    logging.info("line %d", number)
os.write(2, b"last words")
"""


def test_a_log_file_is_bounded_and_gets_the_last_words(tmp_path: Path) -> None:
    path = tmp_path / "fs.log"
    path.write_text("of a former life\n")
    subprocess.run([sys.executable, "-c", _WRITER, path], check=True, timeout=30)
    assert path.read_text().endswith("last words")
    assert '"line 99"' in path.read_text()
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "fs.log.1"]
    for file in tmp_path.iterdir():
        assert file.stat().st_size < 1100
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_level_can_be_changed() -> None:
    root, library = logging.getLogger(), logging.getLogger("pyfuse3")
    before = root.level, library.level
    try:
        set_level(LogLevel.ERROR)
        assert (root.level, library.level) == (logging.ERROR, logging.ERROR)
        set_level(LogLevel.DEBUG)
        assert (root.level, library.level) == (logging.DEBUG, logging.WARNING)
    finally:
        root.setLevel(before[0])
        library.setLevel(before[1])
