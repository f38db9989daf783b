"""``Snapshots`` as containerd sees them: the same calls, through a gRPC channel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from snapshotter.errors import SnapshotterError
from snapshotter.mounts import Kind, Mount
from snapshotter.proto import snapshots_pb2 as pb, snapshots_pb2_grpc
from snapshotter.records import Record, Usage
from snapshotter.status import status_of


class RemoteSnapshots:
    """A client that answers with the model's own types."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub: Any = snapshots_pb2_grpc.SnapshotsStub(channel)  # type: ignore[no-untyped-call]

    def prepare(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        request = pb.PrepareSnapshotRequest(key=key, parent=parent, labels=labels)
        return _mounts(self._stub.Prepare(request, timeout=20))

    def view(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        request = pb.ViewSnapshotRequest(key=key, parent=parent, labels=labels)
        return _mounts(self._stub.View(request, timeout=20))

    def mounts(self, key: str) -> list[Mount]:
        return _mounts(self._stub.Mounts(pb.MountsRequest(key=key), timeout=20))

    def commit(self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "") -> None:
        request = pb.CommitSnapshotRequest(name=name, key=key, labels=labels, parent=parent)
        self._stub.Commit(request, timeout=20)

    def remove(self, key: str) -> None:
        self._stub.Remove(pb.RemoveSnapshotRequest(key=key), timeout=20)

    def stat(self, key: str) -> Record:
        return _record(self._stub.Stat(pb.StatSnapshotRequest(key=key), timeout=20).info)

    def update(
        self, name: str, labels: Mapping[str, str], fieldpaths: Sequence[str] = ()
    ) -> Record:
        request = pb.UpdateSnapshotRequest(
            info=pb.Info(name=name, labels=labels, parent="ignored"),
            update_mask=FieldMask(paths=fieldpaths),
        )
        return _record(self._stub.Update(request, timeout=20).info)

    def walk(self, filters: Iterable[str] = ()) -> Iterator[Record]:
        for response in self._stub.List(pb.ListSnapshotsRequest(filters=filters), timeout=20):
            assert 0 < len(response.info) <= 100
            yield from map(_record, response.info)

    def usage(self, key: str) -> Usage:
        usage = self._stub.Usage(pb.UsageRequest(key=key), timeout=20)
        return Usage(usage.size, usage.inodes)

    def cleanup(self) -> None:
        self._stub.Cleanup(pb.CleanupRequest(), timeout=20)


@contextmanager
def refused(code: grpc.StatusCode, text: str = "") -> Iterator[None]:
    """What is done within must fail with that code, whichever way it is called."""
    with pytest.raises((SnapshotterError, grpc.RpcError), match=text or None) as caught:
        yield
    error = caught.value
    actual = error.code() if isinstance(error, grpc.RpcError) else status_of(error)
    assert actual is code


def _mounts(response: Any) -> list[Mount]:
    return [Mount(m.type, m.source, tuple(m.options)) for m in response.mounts]


def _record(info: pb.Info) -> Record:
    kind = Kind(info.kind)
    created, updated = _nanoseconds(info.created_at), _nanoseconds(info.updated_at)
    return Record(0, info.name, info.parent, kind, dict(info.labels), created, updated, Usage())


def _nanoseconds(stamp: Timestamp) -> int:
    return stamp.seconds * 1_000_000_000 + stamp.nanos
