"""Why layers are not lazy: kept, replaced, bounded, and never worth failing for."""

from pathlib import Path

import pytest

from snapshotter import verdicts as module
from snapshotter.errors import RecordsError
from snapshotter.verdicts import Verdict, Verdicts, read_verdicts


def test_the_newest_reason_counts_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.db"
    assert read_verdicts(path) == {}
    with Verdicts(path) as verdicts:
        verdicts.note(Verdict.UNAVAILABLE, "a", "it rained")
        verdicts.note(Verdict.NOT_ESTARGZ, "b", "no label")
        verdicts.note(Verdict.UNAVAILABLE, "b", "it rained again")
        verdicts.note(Verdict.LAZY, "a")
        assert read_verdicts(path) == {"b": "it rained again"}
        counts = {verdict: count for verdict, count in verdicts.counts().items() if count}
        assert counts == {Verdict.LAZY: 1, Verdict.UNAVAILABLE: 2, Verdict.NOT_ESTARGZ: 1}
    with Verdicts(path):
        assert read_verdicts(path) == {"b": "it rained again"}


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 3)
    with Verdicts(tmp_path / "verdicts.db") as verdicts:
        for target in "abcda":
            verdicts.note(Verdict.UNAVAILABLE, target, target * 5000)
        kept = read_verdicts(tmp_path / "verdicts.db")
    assert kept == {target: target * 1000 for target in "cda"}


def test_a_damaged_database_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(RecordsError, match="verdicts"):
        read_verdicts(path)
    with Verdicts(path) as verdicts:
        verdicts.note(Verdict.TARGET_TAKEN, "a", "taken")
        assert read_verdicts(path) == {"a": "taken"}


def test_a_disk_that_takes_nothing_costs_explanations_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Verdicts(tmp_path / "verdicts.db") as verdicts:
        verdicts._connection.execute("PRAGMA query_only = ON")
        verdicts.note(Verdict.UNAVAILABLE, "a", "it rained")
        assert verdicts.counts()[Verdict.UNAVAILABLE] == 1
    assert caplog.records[-1].__dict__["fields"]["target"] == "a"
