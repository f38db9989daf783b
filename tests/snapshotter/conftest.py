"""A snapshotter over a fake layer server, called directly and through a real gRPC socket; and a real containerd."""

import itertools
import socket
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc
import pytest

from snapshotter.containerd_client import ContainerdAddress
from snapshotter.directories import SnapshotDirectories
from snapshotter.lazy_layers import LazyLayers
from snapshotter.proto import snapshots_pb2_grpc
from snapshotter.records import SnapshotRecords
from snapshotter.service import SnapshotsService
from snapshotter.snapshots import Snapshots
from snapshotter.verdicts import Verdicts
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Ctr
from tests.fakes.layer_server import FakeLayerServer
from tests.snapshotter.remote_snapshots import RemoteSnapshots

ROOTED = {"containerd.io/gc.root": "2026-01-01T00:00:00Z"}


@dataclass(frozen=True, slots=True)
class Site:
    """Snapshots, and what they are made of."""

    snapshots: Snapshots
    records: SnapshotRecords
    directories: SnapshotDirectories
    layers: FakeLayerServer
    work: Path


@contextmanager
def site_in(root: Path) -> Iterator[Site]:
    """Snapshots over the state in a directory, as the daemon opens them."""
    directories = SnapshotDirectories(root / "snapshotter")
    layers = FakeLayerServer(root / "mnt")
    state = root / "snapshotter"
    with (
        SnapshotRecords(state / "snapshots.db") as records,
        Verdicts(state / "verdicts.db") as verdicts,
    ):
        lazy_layers = LazyLayers(records, directories, layers)
        snapshots = Snapshots(records, directories, lazy_layers, verdicts)
        snapshots.repair()
        yield Site(snapshots, records, directories, layers, root / "work")


@pytest.fixture
def unused_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory with a short name: overlay options and socket names have little room."""
    with tempfile.TemporaryDirectory(prefix="snap-") as name:
        yield Path(name)


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    with site_in(root) as site:
        yield site


@pytest.fixture(params=["direct", "grpc"])
def snapshots(
    request: pytest.FixtureRequest, site: Site, root: Path
) -> Iterator[Snapshots | RemoteSnapshots]:
    way: Literal["direct", "grpc"] = request.param
    if way == "direct":
        yield site.snapshots
        return
    server = grpc.server(ThreadPoolExecutor(8))
    service = SnapshotsService(site.snapshots)
    snapshots_pb2_grpc.add_SnapshotsServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{root}/socket")
    server.start()
    try:
        with grpc.insecure_channel(f"unix:{root}/socket") as channel:
            yield RemoteSnapshots(channel)
    finally:
        server.stop(None).wait()


def committed(
    snapshots: Snapshots | RemoteSnapshots,
    name: str,
    parent: str = "",
    labels: Mapping[str, str] = ROOTED,
) -> str:
    snapshots.prepare(f"{name}-active", parent, ROOTED)
    snapshots.commit(name, f"{name}-active", labels)
    return name


def names(snapshots: Snapshots | RemoteSnapshots, *filters: str) -> set[str]:
    return {record.name for record in snapshots.walk(filters)}


_namespaces = itertools.count(1)


@pytest.fixture(scope="session")
def running_containerd() -> Iterator[Containerd]:
    """A real containerd, for all tests of this folder."""
    with Containerd() as containerd:
        yield containerd


@pytest.fixture
def ctr(running_containerd: Containerd) -> Ctr:
    """The client of an empty namespace of it."""
    return running_containerd.ctr(namespace=f"test-{next(_namespaces)}")


@pytest.fixture
def containerd_address(ctr: Ctr) -> ContainerdAddress:
    """The same namespace, as our client is told of it."""
    return ContainerdAddress(str(ctr.socket), ctr.namespace)
