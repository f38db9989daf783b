"""The store of snapshots: what it keeps over a restart, and that it behaves as a dictionary does."""

import itertools
import sqlite3
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from snapshotter.errors import (
    InvalidRequestError,
    RecordsError,
    SnapshotExistsError,
    SnapshotNotFoundError,
    SnapshotStateError,
)
from snapshotter.mounts import Kind
from snapshotter.records import SnapshotRecords, Usage, read_records

LABELS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    ticks = itertools.count(1_700_000_000_123_456_789)
    with SnapshotRecords(tmp_path / "db", clock=lambda: next(ticks)) as records:
        records.create(Kind.ACTIVE, "a", "", {"x": "1"})
        base = records.commit("a", "base", labels={"y": "ü\n"}, usage=Usage(4096, 2))
        view = records.create(Kind.VIEW, "view", "base", {})
    with SnapshotRecords(tmp_path / "db") as records:
        assert list(records.walk()) == [base, view]
        assert base.usage == Usage(4096, 2)
        assert base.labels == {"y": "ü\n"}
        assert base.created_ns == base.updated_ns == 1_700_000_000_123_456_790
        assert records.create(Kind.VIEW, "later", "base", {}).id > view.id


def test_numbers_are_never_used_again(tmp_path: Path) -> None:
    with SnapshotRecords(tmp_path / "db") as records:
        first = records.create(Kind.ACTIVE, "a", "", {})
        records.remove("a")
        assert records.create(Kind.ACTIVE, "a", "", {}).id > first.id
        assert first.id not in records.ids()


def test_a_chain_is_told_the_nearest_first(tmp_path: Path) -> None:
    with SnapshotRecords(tmp_path / "db") as records:
        parent = ""
        for number in range(130):
            records.create(Kind.ACTIVE, "active", parent, {})
            parent = f"layer-{number}"
            records.commit("active", parent, labels={}, usage=Usage())
        expected = [f"layer-{number}" for number in reversed(range(130))]
        assert [record.name for record in records.chain(parent)] == expected
        with pytest.raises(SnapshotNotFoundError):
            records.chain("missing")


def test_an_empty_label_is_no_label(tmp_path: Path) -> None:
    with SnapshotRecords(tmp_path / "db") as records:
        assert records.create(Kind.ACTIVE, "a", "", {"x": "", "y": "1"}).labels == {"y": "1"}


def test_names_are_not_empty(tmp_path: Path) -> None:
    with SnapshotRecords(tmp_path / "db") as records:
        with pytest.raises(InvalidRequestError, match="key"):
            records.create(Kind.ACTIVE, "", "", {})
        records.create(Kind.ACTIVE, "a", "", {})
        with pytest.raises(InvalidRequestError, match="name"):
            records.commit("a", "", labels={}, usage=Usage())


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with SnapshotRecords(tmp_path / "db"):
        pass
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RecordsError, match="99 is newer than 1: upgrade"):
        SnapshotRecords(tmp_path / "db")


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one" * 99])
def test_a_damaged_database_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(RecordsError, match=str(tmp_path / "db")):
        SnapshotRecords(tmp_path / "db")


def test_a_database_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="missing"):
        SnapshotRecords(tmp_path / "missing" / "db")


class AsADictionary(RuleBasedStateMachine):
    """Whatever is asked in whatever order, a dictionary would have answered the same."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[Kind, str, dict[str, str]]] = {}
        self.directory = tempfile.TemporaryDirectory()
        self.records = SnapshotRecords(Path(self.directory.name) / "db")

    def teardown(self) -> None:
        self.records.close()
        self.directory.cleanup()

    @initialize(target=names)
    def known_names(self) -> object:
        return multiple("", *"abcdef")

    @rule(kind=st.sampled_from([Kind.ACTIVE, Kind.VIEW]), key=names, parent=names, labels=LABELS)
    def create(self, kind: Kind, key: str, parent: str, labels: dict[str, str]) -> None:
        if not key or (self._kind(parent) not in (None, Kind.COMMITTED)):
            expected: type[Exception] | None = InvalidRequestError
        elif parent and parent not in self.model:
            expected = SnapshotNotFoundError
        else:
            expected = SnapshotExistsError if key in self.model else None
        if expected is None:
            self.records.create(kind, key, parent, labels)
            self.model[key] = (kind, parent, _without_empty(labels))
        else:
            with pytest.raises(expected):
                self.records.create(kind, key, parent, labels)

    @rule(key=names, name=names, labels=LABELS)
    def commit(self, key: str, name: str, labels: dict[str, str]) -> None:
        if not name:
            expected: type[Exception] | None = InvalidRequestError
        elif name in self.model:
            expected = SnapshotExistsError
        elif key not in self.model:
            expected = SnapshotNotFoundError
        else:
            expected = None if self._kind(key) is Kind.ACTIVE else SnapshotStateError
        if expected is None:
            self.records.commit(key, name, labels=labels, usage=Usage())
            _, parent, _ = self.model.pop(key)
            self.model[name] = (Kind.COMMITTED, parent, _without_empty(labels))
        else:
            with pytest.raises(expected):
                self.records.commit(key, name, labels=labels, usage=Usage())

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name not in self.model:
            with pytest.raises(SnapshotNotFoundError):
                self.records.remove(name)
        elif any(parent == name for _, parent, _ in self.model.values()):
            with pytest.raises(SnapshotStateError):
                self.records.remove(name)
        else:
            self.records.remove(name)
            del self.model[name]

    @rule(name=names, labels=LABELS)
    def update(self, name: str, labels: dict[str, str]) -> None:
        if name not in self.model:
            with pytest.raises(SnapshotNotFoundError):
                self.records.update_labels(name, labels)
        else:
            self.records.update_labels(name, labels)
            kind, parent, _ = self.model[name]
            self.model[name] = (kind, parent, _without_empty(labels))

    @rule(name=names, label=st.text(max_size=3), value=st.text(max_size=3))
    def update_one(self, name: str, label: str, value: str) -> None:
        if name in self.model:
            self.records.update_labels(name, {label: value}, [f"labels.{label}"])
            kind, parent, labels = self.model[name]
            self.model[name] = (kind, parent, _without_empty({**labels, label: value}))

    @rule(name=names)
    def chain(self, name: str) -> None:
        expected = []
        while name in self.model:
            expected.append(name)
            name = self.model[name][1]
        if expected:
            assert [record.name for record in self.records.chain(expected[0])] == expected

    @rule()
    def reopen(self) -> None:
        self.records.close()
        self.records = SnapshotRecords(Path(self.directory.name) / "db")

    @invariant()
    def same_as_the_model(self) -> None:
        found = {r.name: (r.kind, r.parent, dict(r.labels)) for r in self.records.walk()}
        assert found == self.model

    def _kind(self, name: str) -> Kind | None:
        return self.model[name][0] if name in self.model else None


def _without_empty(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}


TestAsADictionary = AsADictionary.TestCase
TestAsADictionary.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def test_records_can_be_read_beside_their_writer(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.db"
    assert read_records(path) == []
    with SnapshotRecords(path) as records:
        made = records.create(Kind.ACTIVE, "a", "", {"x": "y"})
        assert read_records(path) == [made]
    path.write_bytes(b"no database" * 100)
    with pytest.raises(RecordsError):
        read_records(path)
