"""containerd's snapshots service: translates messages, nothing else."""

from collections.abc import Iterable, Iterator
from itertools import islice

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from snapshotter.mounts import Mount
from snapshotter.proto import mount_pb2, snapshots_pb2 as pb, snapshots_pb2_grpc
from snapshotter.records import Record
from snapshotter.snapshots import Snapshots
from snapshotter.status import answering

_INFOS_PER_MESSAGE = 100


class SnapshotsService(snapshots_pb2_grpc.SnapshotsServicer):
    """Answers containerd; the work is done by ``Snapshots``."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def Prepare(
        self, request: pb.PrepareSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.PrepareSnapshotResponse:
        """Makes a writable snapshot, or commits a lazy target."""
        with answering(context, "Prepare"):
            mounts = self._snapshots.prepare(request.key, request.parent, dict(request.labels))
            return pb.PrepareSnapshotResponse(mounts=_mounts(mounts))

    def View(
        self, request: pb.ViewSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.ViewSnapshotResponse:
        """Makes a read-only snapshot."""
        with answering(context, "View"):
            mounts = self._snapshots.view(request.key, request.parent, dict(request.labels))
            return pb.ViewSnapshotResponse(mounts=_mounts(mounts))

    def Mounts(self, request: pb.MountsRequest, context: grpc.ServicerContext) -> pb.MountsResponse:
        """Tells how a snapshot is mounted."""
        with answering(context, "Mounts"):
            return pb.MountsResponse(mounts=_mounts(self._snapshots.mounts(request.key)))

    def Commit(self, request: pb.CommitSnapshotRequest, context: grpc.ServicerContext) -> Empty:
        """Commits an active snapshot."""
        with answering(context, "Commit"):
            self._snapshots.commit(
                request.name, request.key, dict(request.labels), parent=request.parent
            )
        return Empty()

    def Remove(self, request: pb.RemoveSnapshotRequest, context: grpc.ServicerContext) -> Empty:
        """Forgets a snapshot."""
        with answering(context, "Remove"):
            self._snapshots.remove(request.key)
        return Empty()

    def Stat(
        self, request: pb.StatSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.StatSnapshotResponse:
        """Describes a snapshot."""
        with answering(context, "Stat"):
            return pb.StatSnapshotResponse(info=_info(self._snapshots.stat(request.key)))

    def Update(
        self, request: pb.UpdateSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSnapshotResponse:
        """Changes labels."""
        with answering(context, "Update"):
            info, paths = request.info, list(request.update_mask.paths)
            record = self._snapshots.update(info.name, dict(info.labels), paths)
            return pb.UpdateSnapshotResponse(info=_info(record))

    def List(
        self, request: pb.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListSnapshotsResponse]:
        """Describes the snapshots that filters accept, some in each message."""
        with answering(context, "List"):
            records = self._snapshots.walk(request.filters)
            while infos := [_info(record) for record in islice(records, _INFOS_PER_MESSAGE)]:
                yield pb.ListSnapshotsResponse(info=infos)

    def Usage(self, request: pb.UsageRequest, context: grpc.ServicerContext) -> pb.UsageResponse:
        """Tells what a snapshot takes on disk."""
        with answering(context, "Usage"):
            usage = self._snapshots.usage(request.key)
            return pb.UsageResponse(size=usage.size_bytes, inodes=usage.inodes)

    def Cleanup(self, request: pb.CleanupRequest, context: grpc.ServicerContext) -> Empty:
        """Frees what removed snapshots left."""
        with answering(context, "Cleanup"):
            self._snapshots.cleanup()
        return Empty()


def _mounts(mounts: Iterable[Mount]) -> list[mount_pb2.Mount]:
    return [mount_pb2.Mount(type=m.type, source=m.source, options=m.options) for m in mounts]


def _info(record: Record) -> pb.Info:
    return pb.Info(
        name=record.name,
        parent=record.parent,
        kind=record.kind.name,
        created_at=_timestamp(record.created_ns),
        updated_at=_timestamp(record.updated_ns),
        labels=record.labels,
    )


def _timestamp(nanoseconds: int) -> Timestamp:
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
