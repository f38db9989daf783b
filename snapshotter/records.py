"""What is known of snapshots, in sqlite: names, parents, kinds, labels, sizes.

Every call is one short transaction, durable when it returns; none is open while anybody waits for anything
else. Safe to call from many threads. Refusals come in the order in which containerd's own store gives them.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from snapshotter.errors import (
    InvalidRequestError,
    RecordsError,
    SnapshotExistsError,
    SnapshotNotFoundError,
    SnapshotStateError,
)
from snapshotter.mounts import Kind

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE snapshots (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT    NOT NULL UNIQUE,
    parent  INTEGER REFERENCES snapshots (id),
    kind    INTEGER NOT NULL,
    labels  TEXT    NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    inodes  INTEGER NOT NULL
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots (parent);
"""
_SELECT = """
SELECT s.id, s.name, coalesce(p.name, ''), s.kind, s.labels, s.created, s.updated, s.bytes, s.inodes
FROM snapshots AS s LEFT JOIN snapshots AS p ON p.id = s.parent
"""
_SELECT_CHAIN = """
WITH RECURSIVE chain (id, depth) AS (
    SELECT id, 0 FROM snapshots WHERE name = ?
    UNION ALL
    SELECT s.parent, depth + 1 FROM chain JOIN snapshots AS s ON s.id = chain.id
    WHERE s.parent IS NOT NULL
)
"""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snapshot takes on disk, its parents not counted."""

    size_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one snapshot.

    Attributes:
        id: Increasing number; names the directory.
        name: The key while active, the name once committed.
        parent: The parent's name; empty for none.
    """

    id: int
    name: str
    parent: str
    kind: Kind
    labels: Mapping[str, str]
    created_ns: int
    updated_ns: int
    usage: Usage


class SnapshotRecords:
    """The store. A context manager: leaving it closes the database.

    Args:
        path: The database; made when absent.
        clock: Tells nanoseconds since 1970.

    Raises:
        RecordsError: it is damaged, or was written by a newer version of this program.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise RecordsError(path, str(error)) from error
        try:
            self._prepare()
        except (RecordsError, sqlite3.Error) as error:
            self._connection.close()
            raise RecordsError(path, getattr(error, "reason", str(error))) from error

    def __repr__(self) -> str:
        return f"<SnapshotRecords {self._path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database; closing twice is allowed."""
        with self._lock:
            self._connection.close()

    def get(self, name: str) -> Record:
        """The snapshot of that key or name.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        record = self.find(name)
        if record is None:
            raise SnapshotNotFoundError(name)
        return record

    def find(self, name: str) -> Record | None:
        """The snapshot of that key or name, if there is one."""
        with self._lock:
            return self._find(name)

    def chain(self, name: str) -> list[Record]:
        """A snapshot and its ancestors, the nearest first.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
        """
        query = _SELECT_CHAIN + _SELECT + "JOIN chain ON chain.id = s.id ORDER BY chain.depth"
        with self._lock:
            records = [_record(row) for row in self._connection.execute(query, (name,))]
        if not records:
            raise SnapshotNotFoundError(name)
        return records

    def walk(self) -> Iterator[Record]:
        """All snapshots in the order of their numbers; other calls may come between."""
        last = 0
        query = _SELECT + "WHERE s.id > ? ORDER BY s.id LIMIT ?"
        while True:
            with self._lock:
                rows = self._connection.execute(query, (last, _PAGE)).fetchall()
            yield from map(_record, rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def ids(self) -> set[int]:
        """The numbers of all snapshots."""
        with self._lock:
            return {row[0] for row in self._connection.execute("SELECT id FROM snapshots")}

    def create(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> Record:
        """Records a new active snapshot or view.

        Raises:
            SnapshotNotFoundError: the parent does not exist.
            InvalidRequestError: the key is empty, or the parent is not committed.
            SnapshotExistsError: the key is taken.
        """
        if not key:
            raise InvalidRequestError("key", key, "must not be empty")
        now = self._clock()
        with self._transaction():
            parent_id = self._committed_parent(parent)
            if self._find(key) is not None:
                raise SnapshotExistsError(key)
            row = (key, parent_id, kind, _dump_labels(labels), now, now, 0, 0)
            self._connection.execute(
                "INSERT INTO snapshots (name, parent, kind, labels, created, updated, bytes, inodes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return self._get(key)

    def commit(
        self, key: str, name: str, *, labels: Mapping[str, str], usage: Usage, parent: str = ""
    ) -> Record:
        """Turns an active snapshot into a committed one of another name; its old labels are dropped.

        Args:
            key: The active snapshot.
            name: What it is called from now on.
            labels: All labels it has from now on.
            usage: What it takes on disk.
            parent: A parent, if the snapshot was made without one; else empty or the same one.

        Raises:
            SnapshotExistsError: the name is taken.
            SnapshotNotFoundError: the key, or the parent, does not exist.
            SnapshotStateError: the snapshot is not active.
            InvalidRequestError: the name is empty, or the parent is another one than before.
        """
        if not name:
            raise InvalidRequestError("name", name, "must not be empty")
        now = self._clock()
        with self._transaction():
            if self._find(name) is not None:
                raise SnapshotExistsError(name)
            active = self._get(key)
            if active.kind is not Kind.ACTIVE:
                raise SnapshotStateError(key, "is not active")
            if parent and active.parent and parent != active.parent:
                raise InvalidRequestError("parent", parent, f"differs from {active.parent!r}")
            parent_id = self._committed_parent(parent or active.parent)
            self._connection.execute(
                "UPDATE snapshots SET name = ?, kind = ?, parent = ?, labels = ?, created = ?,"
                " updated = ?, bytes = ?, inodes = ? WHERE id = ?",
                (
                    *(name, Kind.COMMITTED, parent_id, _dump_labels(labels), now, now),
                    *(usage.size_bytes, usage.inodes, active.id),
                ),
            )
            return self._get(name)

    def update_labels(
        self,
        name: str,
        labels: Mapping[str, str],
        fieldpaths: Sequence[str] = (),
        *,
        keep: Collection[str] = (),
    ) -> Record:
        """Replaces all labels, or those that field paths name; an empty value removes a label.

        Args:
            name: The snapshot.
            labels: The new labels.
            fieldpaths: ``labels``, or ``labels.<name>``; none means all labels.
            keep: Labels that stay what they are.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            InvalidRequestError: a field path names anything but labels.
        """
        now = self._clock()
        with self._transaction():
            old = self._get(name).labels
            updated = _updated_labels(old, labels, fieldpaths)
            updated.update((label, old[label]) for label in keep if label in old)
            self._connection.execute(
                "UPDATE snapshots SET labels = ?, updated = ? WHERE name = ?",
                (_dump_labels(updated), now, name),
            )
            return self._get(name)

    def remove(self, name: str) -> Record:
        """Forgets a snapshot; gives what was known of it.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            SnapshotStateError: it is the parent of another one.
        """
        with self._transaction():
            record = self._get(name)
            children = "SELECT count(*) FROM snapshots WHERE parent = ?"
            if self._connection.execute(children, (record.id,)).fetchone()[0]:
                raise SnapshotStateError(name, "cannot remove snapshot with child")
            self._connection.execute("DELETE FROM snapshots WHERE id = ?", (record.id,))
            return record

    def _prepare(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA_VERSION:
            reason = f"schema version {version} is newer than {_SCHEMA_VERSION}: upgrade pyestargz"
            raise RecordsError(self._path, reason)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if version == 0:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _find(self, name: str) -> Record | None:
        row = self._connection.execute(_SELECT + "WHERE s.name = ?", (name,)).fetchone()
        return None if row is None else _record(row)

    def _get(self, name: str) -> Record:
        record = self._find(name)
        if record is None:
            raise SnapshotNotFoundError(name)
        return record

    def _committed_parent(self, name: str) -> int | None:
        if not name:
            return None
        parent = self._get(name)
        if parent.kind is not Kind.COMMITTED:
            raise InvalidRequestError("parent", name, "is not committed")
        return parent.id


def read_records(path: Path) -> list[Record]:
    """All snapshots in a database that another process may be writing; none if it is not there.

    Raises:
        RecordsError: it cannot be read.
    """
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return [_record(row) for row in connection.execute(_SELECT + "ORDER BY s.id")]
    except sqlite3.Error as error:
        raise RecordsError(path, str(error)) from error


def _record(row: tuple[Any, ...]) -> Record:
    number, name, parent, kind, labels, created, updated, size, inodes = row
    return Record(
        number,
        name,
        parent,
        Kind(kind),
        json.loads(labels),
        created,
        updated,
        Usage(size, inodes),
    )


def _dump_labels(labels: Mapping[str, str]) -> str:
    """As JSON, without empty ones: to containerd an empty label is no label."""
    return json.dumps({name: value for name, value in labels.items() if value})


def _updated_labels(
    old: Mapping[str, str], new: Mapping[str, str], fieldpaths: Sequence[str]
) -> dict[str, str]:
    updated = dict(old) if fieldpaths else dict(new)
    for path in fieldpaths:
        if path == "labels":
            updated = dict(new)
        elif path.startswith("labels."):
            name = path.removeprefix("labels.")
            updated[name] = new.get(name, "")
        else:
            raise InvalidRequestError("field path", path, "cannot be changed")
    return updated
