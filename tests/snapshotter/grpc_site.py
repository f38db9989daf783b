"""A site's snapshots on the socket that the daemon would serve."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from snapshotter.grpc_server import serving_containerd
from snapshotter.service import SnapshotsService
from tests.snapshotter.conftest import Site
from tests.snapshotter.remote_snapshots import RemoteSnapshots


@contextmanager
def serving(site: Site, observe: Callable[[str, str, float], None]) -> Iterator[RemoteSnapshots]:
    """Serves, and gives a client."""
    address = site.work.with_name("run") / "grpc.sock"
    with (
        ThreadPoolExecutor(4) as threads,
        serving_containerd(address, SnapshotsService(site.snapshots), threads, observe),
        grpc.insecure_channel(f"unix:{address}") as channel,
    ):
        yield RemoteSnapshots(channel)
