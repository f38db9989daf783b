from pathlib import Path

import pytest

from estargz.access_record import Access, parse_access_record
from registry.digest import Digest
from snapshotter.commands.sample_report import sample_document, sample_lines, write_record
from snapshotter.sampling.access_log import ChosenFiles, LeftOut
from snapshotter.sampling.sample_container import Ended, Stop
from snapshotter.sampling.sample_run import Sample

_ACCESSES = (Access("a", Digest.of(b"m"), 0), Access("b", Digest.of(b"m"), 2))
_LARGE = LeftOut("lib/modules", 129_400_000, 24_000_000)


def _sample(stop: Stop, status: int | None, *left_out: LeftOut) -> Sample:
    return Sample(ChosenFiles(_ACCESSES, 5_000_000, left_out), Ended(stop, status), 1.25)


def test_lines() -> None:
    assert list(sample_lines(_sample(Stop.EXIT, 3))) == [
        "ran 1.2 s, until it ended with status 3",
        "recorded 2 files of 2 layers, 5.0 MB",
    ]
    first, _, last = sample_lines(_sample(Stop.PERIOD, None, _LARGE))
    assert first.endswith("until its time was up")
    assert last == "left out: lib/modules, of which 24.0 MB of 129 MB were read"


def test_the_document() -> None:
    assert sample_document(None) == {}
    assert sample_document(_sample(Stop.LINE, None, _LARGE)) == {
        "sample": {
            "seconds": 1.25,
            "endedBecause": "line",
            "exitStatus": None,
            "files": 2,
            "contentSize": 5_000_000,
            "leftOut": [{"path": "lib/modules", "size": 129_400_000, "read": 24_000_000}],
        }
    }


def test_the_record_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text("old")
    write_record(record, _sample(Stop.EXIT, 0))
    assert parse_access_record(record.read_bytes()) == _ACCESSES
    assert list(tmp_path.iterdir()) == [record]


def test_a_record_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "record" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="record"):
        write_record(tmp_path / "record", _sample(Stop.EXIT, 0))
    assert [path.name for path in tmp_path.iterdir()] == ["record"]
