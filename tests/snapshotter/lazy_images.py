"""Lazy layers as containerd asks for them."""

import grpc

from registry.digest import Digest
from snapshotter.labels import REMOTE, TARGET, TOC_DIGEST
from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused

LAYER = Digest.of(b"layer")
CHAIN = str(Digest.of(b"chain"))


def lazy_labels(layer: Digest = LAYER, chain: str = CHAIN) -> dict[str, str]:
    return {
        TARGET: chain,
        TOC_DIGEST: str(Digest.of(b"toc")),
        "containerd.io/snapshot/cri.image-ref": "registry.test/image:tag",
        "containerd.io/snapshot/cri.layer-digest": str(layer),
    }


def pulled(
    snapshots: Snapshots | RemoteSnapshots, number: int = 0, parent: str = "", layer: Digest = LAYER
) -> str:
    """Prepares a lazy layer as containerd does, and finds it as containerd does."""
    chain = str(Digest.of(f"chain {number}".encode()))
    with refused(grpc.StatusCode.ALREADY_EXISTS, f'target snapshot "{chain}": already exists'):
        snapshots.prepare(f"extract-{number} {chain}", parent, lazy_labels(layer, chain))
    wanted = f'labels."{TARGET}"=={chain},parent=="{parent}"'
    (found,) = snapshots.walk([wanted])
    assert (found.name, found.kind, found.parent) == (chain, Kind.COMMITTED, parent)
    assert found.labels == {**lazy_labels(layer, chain), REMOTE: "remote snapshot"}
    return chain
