"""What people call the containers on snapshots: asked of containerd, and told by the snapshots' keys where it does not answer.

containerd calls the snapshots of plugins ``<namespace>/<number>/<key>``, and most clients take a container's id as the key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc

from snapshotter.proto import containers_pb2 as pb, containers_pb2_grpc

_SECONDS: Final = 5.0
_CHANNEL_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
# What the kubelet and nerdctl let containerd keep with a container.
_POD: Final = "io.kubernetes.pod."
_CONTAINER: Final = "io.kubernetes.container.name"
_NERDCTL: Final = "nerdctl/name"


@dataclass(frozen=True, slots=True)
class SnapshotKey:
    """A snapshot's key in parts; the namespace is empty for one that another client than containerd made."""

    namespace: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "SnapshotKey":
        """The parts of a key, as containerd makes it."""
        namespace, _, rest = text.partition("/")
        number, _, key = rest.partition("/")
        return cls(namespace, key) if key and number.isdecimal() else cls("", text)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.key}" if self.namespace else self.key


def container_names(socket: str, snapshots: Iterable[str]) -> Mapping[str, str]:
    """For each snapshot's key, what its container is called: ``<namespace>/<name>``, and of which pod it is.

    Args:
        socket: containerd's.
        snapshots: keys, as containerd gives them to snapshotters.
    """
    keys = {text: SnapshotKey.parse(text) for text in snapshots}
    with grpc.insecure_channel(f"unix:{socket}", options=_CHANNEL_OPTIONS) as channel:
        stub: Any = containers_pb2_grpc.ContainersStub(channel)  # type: ignore[no-untyped-call]
        called: dict[SnapshotKey, str] = {}
        try:
            for namespace in {key.namespace for key in keys.values() if key.namespace}:
                called.update(_called(stub, namespace))
        except grpc.RpcError:
            pass  # the keys have to do; that containerd is away is told elsewhere
    return {text: called.get(key, str(key)) for text, key in keys.items()}


def _called(stub: Any, namespace: str) -> dict[SnapshotKey, str]:
    metadata = (("containerd-namespace", namespace),)
    response: pb.ListContainersResponse = stub.List(
        pb.ListContainersRequest(), metadata=metadata, timeout=_SECONDS
    )
    return {
        SnapshotKey(namespace, container.snapshot_key): f"{namespace}/{_name(container)}"
        for container in response.containers
    }


def _name(container: pb.Container) -> str:
    labels = container.labels
    if f"{_POD}name" in labels:
        pod = f"{labels[f'{_POD}namespace']}/{labels[f'{_POD}name']}"
        name = labels.get(_CONTAINER) or "sandbox"
        return f"{container.id} ({name} of pod {pod})"
    return labels.get(_NERDCTL) or container.id
