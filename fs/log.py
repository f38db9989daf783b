"""Log lines of both processes: one JSON object a line, on stderr.

The keys ``level``, ``msg`` and ``time`` come first and mean what they mean to tools that read the logs
of containerd; more fields are given by ``extra={"fields": {...}}``.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path


class LogLevel(StrEnum):
    """The names that containerd's tools use."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"
    PANIC = "panic"


_LEVELS = {
    LogLevel.TRACE: logging.DEBUG,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARN: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.FATAL: logging.CRITICAL,
    LogLevel.PANIC: logging.CRITICAL,
}
# Weeks of a busy node, and nothing a disk notices.
MAX_LOG_BYTES = 16 << 20
_NAMES = {logging.WARNING: "warning", logging.CRITICAL: "fatal"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "msg": record.getMessage(),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":"))


class BoundedLogFile(RotatingFileHandler):
    """A log that takes no more than twice ``max_bytes``: what is older is in ``<path>.1``, what is older still is gone.

    This process's stderr goes there too: what the interpreter or a library says when all is lost must be found.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=1, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), 0o600)
        os.dup2(stream.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2)
        return stream


def log_to_stderr(level: LogLevel) -> None:
    """Sends everything from ``level`` on to stderr; libraries only from warnings on."""
    _log_to(logging.StreamHandler(sys.stderr), level)


def log_to_file(path: Path, level: LogLevel) -> None:
    """Sends everything from ``level`` on to a file of bounded size, and stderr too.

    Raises:
        OSError: the file cannot be written.
    """
    _log_to(BoundedLogFile(path, MAX_LOG_BYTES), level)


def set_level(level: LogLevel) -> None:
    """Changes the least level that is logged."""
    logging.getLogger().setLevel(_LEVELS[level])
    logging.getLogger("pyfuse3").setLevel(max(_LEVELS[level], logging.WARNING))


def _log_to(handler: logging.Handler, level: LogLevel) -> None:
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
