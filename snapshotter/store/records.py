"""Which layers an Additional Layer Store has, and how often each is in use: in sqlite, as podman's storage outlives restarts."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from registry.digest import Digest
from registry.reference import Reference
from snapshotter.errors import RecordsError
from snapshotter.store.image import StoreLayer

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS layers (
    reference      TEXT    NOT NULL,
    digest         TEXT    NOT NULL,
    toc_digest     TEXT    NOT NULL,
    diff_id        TEXT    NOT NULL,
    media_type     TEXT    NOT NULL,
    blob_bytes     INTEGER NOT NULL,
    unpacked_bytes INTEGER,
    uses           INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (reference, digest)
) STRICT
"""
_COLUMNS = "reference, digest, toc_digest, diff_id, media_type, blob_bytes, unpacked_bytes"
_PUT = f"""
INSERT INTO layers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (reference, digest) DO UPDATE SET toc_digest = excluded.toc_digest
"""  # noqa: S608 - constants
_FIND = f"SELECT {_COLUMNS} FROM layers WHERE reference = ?1 AND ?2 IN (digest, toc_digest)"  # noqa: S608 - idem
_OF_IMAGE = f"SELECT {_COLUMNS} FROM layers WHERE reference = ? ORDER BY rowid"  # noqa: S608 - idem
_COUNT = """
UPDATE layers SET uses = max(0, uses + ?) WHERE reference = ? AND digest = ?
"""


class StoreRecords:
    """The records of one store. A context manager; safe to call from many threads. Every change is durable when the call returns.

    All methods raise ``RecordsError`` where the disk is full or broken.

    Raises:
        RecordsError: the database is damaged, or of a newer version of this program.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise RecordsError(path, str(error)) from error
        try:
            self._prepare()
        except RecordsError:
            self._connection.close()
            raise

    def __repr__(self) -> str:
        return f"<StoreRecords {self._path}>"

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

    def put(self, layers: Iterable[StoreLayer]) -> None:
        """Keeps layers of an image; those that are known keep their uses."""
        for layer in layers:
            self._execute(_PUT, _row(layer))

    def find(self, reference: Reference, name: Digest) -> StoreLayer | None:
        """A layer of an image by its digest, or by its TOC's."""
        rows = self._execute(_FIND, (str(reference), str(name)))
        return _layer(rows[0]) if rows else None

    def of_image(self, reference: Reference) -> list[StoreLayer]:
        """The layers of an image."""
        return [_layer(row) for row in self._execute(_OF_IMAGE, (str(reference),))]

    def use(self, layer: StoreLayer) -> None:
        """Counts one use more, also of a layer that was forgotten meanwhile."""
        self.put([layer])
        self._execute(_COUNT, (1, str(layer.reference), str(layer.digest)))

    def release(self, layer: StoreLayer) -> None:
        """Counts one use less, of those that were counted."""
        self._execute(_COUNT, (-1, str(layer.reference), str(layer.digest)))

    def uses(self, digest: Digest) -> int:
        """How often a layer is in use, whatever images it is of."""
        rows = self._execute("SELECT sum(uses) FROM layers WHERE digest = ?", (str(digest),))
        return rows[0][0] or 0

    def digests(self) -> dict[Digest, int]:
        """All layers, with their uses."""
        rows = self._execute("SELECT digest, sum(uses) FROM layers GROUP BY digest", ())
        return {Digest.parse(digest): uses for digest, uses in rows}

    def forget_unused(self, digest: Digest) -> None:
        """Drops what is known of a layer, where it is not in use."""
        self._execute("DELETE FROM layers WHERE digest = ? AND uses = 0", (str(digest),))

    def _prepare(self) -> None:
        self._execute("PRAGMA journal_mode = WAL", ())
        self._execute("PRAGMA synchronous = FULL", ())
        (version,) = self._execute("PRAGMA user_version", ())[0]
        if version > _SCHEMA_VERSION:
            raise RecordsError(self._path, "was written by a newer version of this program")
        self._execute(_SCHEMA, ())
        self._execute(f"PRAGMA user_version = {_SCHEMA_VERSION}", ())

    def _execute(self, statement: str, values: Sequence[object]) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise RecordsError(self._path, str(error)) from error


def _row(layer: StoreLayer) -> tuple[object, ...]:
    names = (layer.reference, layer.digest, layer.toc_digest, layer.diff_id, layer.media_type)
    return (*map(str, names), layer.blob_bytes, layer.unpacked_bytes)


def _layer(row: Sequence[Any]) -> StoreLayer:
    return StoreLayer(
        reference=Reference.parse(row[0]),
        digest=Digest.parse(row[1]),
        toc_digest=Digest.parse(row[2]),
        diff_id=Digest.parse(row[3]),
        media_type=row[4],
        blob_bytes=row[5],
        unpacked_bytes=row[6],
    )
