"""An image as a snapshotter shows it, mounted where a test can read it."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from snapshotter.proto import snapshots_pb2
from tests.e2e.ctr import Ctr, new_container_id, run_command

_GC_ROOT = {"containerd.io/gc.root": "a test reads it"}  # or it is garbage at once


def chain_id(diff_ids: Sequence[str]) -> str:
    """Return the name of the snapshot that holds these layers on top of each other."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
    return chain


@contextlib.contextmanager
def mounted_image(
    ctr: Ctr, diff_ids: Sequence[str], target: Path, *, snapshotter: str
) -> Iterator[Path]:
    """Mount a read-only view of a pulled image at `target`, and take it away again."""
    key = new_container_id("view")
    request = snapshots_pb2.ViewSnapshotRequest(
        snapshotter=snapshotter, key=key, parent=chain_id(diff_ids), labels=_GC_ROOT
    )
    target.mkdir(parents=True)
    (mount,) = _view(ctr, request).mounts
    try:
        options = [word for option in mount.options for word in ("-o", option)]
        run_command(["mount", "-t", mount.type, *options, mount.source, target])
        try:
            yield target
        finally:
            run_command(["umount", target])
    finally:
        ctr("snapshots", "--snapshotter", snapshotter, "rm", key)


def _view(
    ctr: Ctr, request: snapshots_pb2.ViewSnapshotRequest
) -> snapshots_pb2.ViewSnapshotResponse:
    with grpc.insecure_channel(f"unix:{ctr.socket}") as channel:
        view: grpc.UnaryUnaryMultiCallable[
            snapshots_pb2.ViewSnapshotRequest, snapshots_pb2.ViewSnapshotResponse
        ] = channel.unary_unary(
            "/containerd.services.snapshots.v1.Snapshots/View",
            request_serializer=snapshots_pb2.ViewSnapshotRequest.SerializeToString,
            response_deserializer=snapshots_pb2.ViewSnapshotResponse.FromString,
        )
        metadata = (("containerd-namespace", ctr.namespace),)
        return view(request, timeout=30, metadata=metadata)
