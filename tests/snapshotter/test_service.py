"""What only the wire shows: times, kinds, and lists in pieces."""

from typing import Any

import grpc
import pytest

from snapshotter.proto import snapshots_pb2 as pb
from tests.snapshotter.conftest import ROOTED, Site, committed
from tests.snapshotter.remote_snapshots import RemoteSnapshots

pytestmark = pytest.mark.parametrize("snapshots", ["grpc"], indirect=True)


def test_times_are_exact(site: Site, snapshots: RemoteSnapshots) -> None:
    snapshots.prepare("active", "", ROOTED)
    assert snapshots.stat("active").created_ns == site.records.get("active").created_ns


def test_kinds_and_fields(snapshots: RemoteSnapshots) -> None:
    committed(snapshots, "base")
    snapshots.prepare("active", "base", {})
    snapshots.view("view", "base", {})
    infos = {info.name: info for message in _listed(snapshots) for info in message.info}
    kinds = {name: pb.Kind.Name(info.kind) for name, info in infos.items()}
    assert kinds == {"base": "COMMITTED", "active": "ACTIVE", "view": "VIEW"}
    assert infos["view"].parent == "base"
    assert dict(infos["base"].labels) == ROOTED


def test_a_list_comes_in_pieces_of_a_hundred(snapshots: RemoteSnapshots) -> None:
    assert _listed(snapshots) == []
    for number in range(201):
        snapshots.prepare(f"{number}", "", {})
    assert [len(message.info) for message in _listed(snapshots)] == [100, 100, 1]


def test_a_list_that_nobody_reads_to_its_end(snapshots: RemoteSnapshots) -> None:
    for number in range(201):
        snapshots.prepare(f"{number}", "", {})
    stub: Any = snapshots._stub
    call = stub.List(pb.ListSnapshotsRequest(), timeout=20)
    next(call)
    call.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert snapshots.stat("0").name == "0"


def _listed(snapshots: RemoteSnapshots) -> list[pb.ListSnapshotsResponse]:
    return list(snapshots._stub.List(pb.ListSnapshotsRequest(), timeout=20))
