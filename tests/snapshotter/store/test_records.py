"""Uses are counted, and outlive the process."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.reference import Reference
from snapshotter.errors import RecordsError
from snapshotter.store.image import StoreLayer
from snapshotter.store.records import StoreRecords
from tests.snapshotter.store.test_image import BLOB, LAYER, REFERENCE, TOC

OTHER = replace(
    LAYER, digest=Digest.of(b"other"), toc_digest=Digest.of(b"toc 2"), unpacked_bytes=None
)
ELSEWHERE = replace(LAYER, reference=Reference.parse("registry.test/team/app:2"))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[StoreRecords]:
    with StoreRecords(tmp_path / "store.db") as records:
        yield records


def test_layers_are_found_by_both_digests(records: StoreRecords) -> None:
    records.put([LAYER, OTHER])
    found: list[StoreLayer | None] = [records.find(REFERENCE, name) for name in (BLOB, TOC)]
    assert found == [LAYER, LAYER]
    assert records.find(ELSEWHERE.reference, BLOB) is None
    assert records.of_image(REFERENCE) == [LAYER, OTHER]


def test_uses_are_those_of_all_images(records: StoreRecords) -> None:
    records.put([LAYER, ELSEWHERE, OTHER])
    records.use(LAYER)
    records.use(ELSEWHERE)
    records.put([LAYER])
    assert records.uses(BLOB) == 2
    assert records.digests() == {BLOB: 2, OTHER.digest: 0}
    records.release(LAYER)
    records.release(LAYER)
    assert records.uses(BLOB) == 1
    records.forget_unused(BLOB)
    assert records.find(REFERENCE, BLOB) is None
    assert records.of_image(ELSEWHERE.reference) == [ELSEWHERE]


def test_a_use_of_what_was_forgotten_counts(records: StoreRecords) -> None:
    records.use(LAYER)
    assert (records.find(REFERENCE, BLOB), records.uses(BLOB)) == (LAYER, 1)
    assert records.uses(TOC) == 0


def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    with StoreRecords(tmp_path / "store.db") as records:
        records.use(LAYER)
    with StoreRecords(tmp_path / "store.db") as records:
        assert records.digests() == {BLOB: 1}


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(RecordsError, match=r"store\.db"):
        StoreRecords(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(RecordsError, match="newer version"):
        StoreRecords(path)
    with pytest.raises(RecordsError, match="unable to open"):
        StoreRecords(tmp_path / "absent" / "store.db")
