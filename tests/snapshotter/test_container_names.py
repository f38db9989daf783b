"""Names of containers, from a gRPC server that answers as containerd does, and without one."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from snapshotter.container_names import SnapshotKey, container_names
from snapshotter.proto import containers_pb2 as pb, containers_pb2_grpc

_POD = {
    "io.kubernetes.pod.name": "web-1",
    "io.kubernetes.pod.namespace": "shop",
}
CONTAINERS = {
    "default": [
        pb.Container(id="abc", snapshot_key="abc", labels={"nerdctl/name": "cache"}),
        pb.Container(id="plain", snapshot_key="other-key"),
    ],
    "k8s.io": [
        pb.Container(
            id="d1", snapshot_key="d1", labels={**_POD, "io.kubernetes.container.name": "server"}
        ),
        pb.Container(id="d2", snapshot_key="d2", labels=_POD),
    ],
}


class _Containers(containers_pb2_grpc.ContainersServicer):
    def List(  # noqa: N802 - the .proto file dictates the name
        self, request: pb.ListContainersRequest, context: grpc.ServicerContext
    ) -> pb.ListContainersResponse:
        namespace = dict(context.invocation_metadata())["containerd-namespace"]
        return pb.ListContainersResponse(containers=CONTAINERS[str(namespace)])


@pytest.fixture
def socket() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ctd-") as name, ThreadPoolExecutor(1) as threads:
        path = str(Path(name) / "containerd.sock")
        server = grpc.server(threads)
        containers_pb2_grpc.add_ContainersServicer_to_server(_Containers(), server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(f"unix:{path}")
        server.start()
        yield path
        server.stop(None).wait()


def test_people_know_them_by_these(socket: str) -> None:
    names = container_names(
        socket, ["default/7/abc", "default/8/other-key", "k8s.io/1/d1", "k8s.io/2/d2", "own"]
    )
    assert names == {
        "default/7/abc": "default/cache",
        "default/8/other-key": "default/plain",
        "k8s.io/1/d1": "k8s.io/d1 (server of pod shop/web-1)",
        "k8s.io/2/d2": "k8s.io/d2 (sandbox of pod shop/web-1)",
        "own": "own",
    }


def test_without_containerd_the_keys_have_to_do(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.sock")
    assert container_names(absent, ["default/7/a/b"]) == {"default/7/a/b": "default/a/b"}


@pytest.mark.parametrize("text", ["key", "a/b", "a/b/c", "sha256:0/"])
def test_keys_of_other_clients_stay_as_they_are(text: str) -> None:
    assert str(SnapshotKey.parse(text)) == text
