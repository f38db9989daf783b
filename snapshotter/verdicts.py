"""Why layers are not lazy: asked long after they were pulled, so kept on disk; and how often each answer was given."""

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from snapshotter.errors import RecordsError

_log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS not_lazy (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL UNIQUE,
    reason TEXT NOT NULL
) STRICT
"""
# Layers of some hundred images; who asks, asks about one that was pulled lately.
_MAX_KEPT = 4096
_MAX_REASON = 1000


class Verdict(StrEnum):
    """How a layer that containerd wanted served was answered."""

    LAZY = "lazy"
    NOT_ESTARGZ = "not-estargz"
    UNAVAILABLE = "unavailable"
    NO_FS_SERVER = "no-fs-server"
    TARGET_TAKEN = "target-taken"


class Verdicts:
    """What was decided about layers. A context manager; safe to call from many threads.

    Losing this database loses explanations and nothing else, so it is not made durable, and replaced when damaged.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Verdict] = Counter()
        try:
            self._connection = _open(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._connection = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._connection.close()

    def __repr__(self) -> str:
        return f"<Verdicts {dict(self._counts)}>"

    def note(self, verdict: Verdict, target: str, reason: str = "") -> None:
        """Keeps what was decided about a layer, and why; the newest counts. A full disk only costs the explanation."""
        with self._lock:
            self._counts[verdict] += 1
            try:
                self._keep(verdict, target, reason[:_MAX_REASON])
            except sqlite3.Error as error:
                fields = {"target": target, "error": str(error)}
                _log.warning("why a layer is not lazy is not kept", extra={"fields": fields})

    def _keep(self, verdict: Verdict, target: str, reason: str) -> None:
        self._connection.execute("DELETE FROM not_lazy WHERE target = ?", (target,))
        if verdict is Verdict.LAZY:
            return
        insert = "INSERT INTO not_lazy (target, reason) VALUES (?, ?)"
        number = self._connection.execute(insert, (target, reason)).lastrowid or 0
        old = "DELETE FROM not_lazy WHERE number <= ?"
        self._connection.execute(old, (number - _MAX_KEPT,))

    def counts(self) -> Mapping[Verdict, int]:
        """How often each verdict was given by this process."""
        with self._lock:
            return {verdict: self._counts[verdict] for verdict in Verdict}


def read_verdicts(path: Path) -> dict[str, str]:
    """Why layers are not lazy, by chain id; nothing if nothing is known.

    Raises:
        RecordsError: the database cannot be read.
    """
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT target, reason FROM not_lazy"))
    except sqlite3.Error as error:
        raise RecordsError(path, str(error)) from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_SCHEMA)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
