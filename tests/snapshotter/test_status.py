"""Every error has its gRPC code; an error nobody foresaw is told, and told apart, in the log."""

from collections.abc import Iterator

import grpc
import pytest

from snapshotter.errors import SnapshotterError
from snapshotter.status import STATUS, status_of
from tests.snapshotter.conftest import Site
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused


def _subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


@pytest.mark.parametrize("kind", list(_subclasses(SnapshotterError)))
def test_every_error_has_a_code(kind: type[Exception]) -> None:
    assert status_of(kind.__new__(kind)) is not None


def test_no_code_hides_a_more_exact_one() -> None:
    kinds = [kind for kind, _ in STATUS]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:index])


def test_an_unforeseen_error_has_none() -> None:
    assert status_of(ZeroDivisionError()) is None


@pytest.mark.parametrize("snapshots", ["grpc"], indirect=True)
def test_a_bug_is_answered_and_logged(
    site: Site, snapshots: RemoteSnapshots, caplog: pytest.LogCaptureFixture
) -> None:
    site.records.close()
    with refused(grpc.StatusCode.INTERNAL, "ProgrammingError.*in the log"):
        snapshots.stat("any")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.__dict__["fields"]["method"] == "Stat"
    assert record.__dict__["fields"]["request"]
