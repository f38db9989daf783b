"""A private registry, and a password that only the kubelet knows: it passes it to the image service that we are."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from snapshotter.unix_socket import listening
from tests.e2e.conftest import PRIVATE, Node
from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.proto import cri_pb2 as cri_messages
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_AUTH = cri_messages.AuthConfig(username=PRIVATE[0], password=PRIVATE[1])
_CONFIG = """\
noprefetch = true
no_background_fetch = true
[cri_keychain]
enable_keychain = true
image_service_path = "{containerd}"
listen_path = "{listen}"
"""
_SEALED = 'seal_key_path = "{directory}/seal.key"'


@contextmanager
def _kubelet(pause_name: str, config: str = "") -> Iterator[tuple[Node, Cri]]:
    """A snapshotter that is the image service, and that service, to which the kubelet talks about images."""
    snapshotter = Snapshotter()
    containerd = Containerd(
        snapshotters={"stargz": snapshotter.socket},
        cri_snapshotter="stargz",
        sandbox_image=pause_name,
    )
    listen = snapshotter.directory / "cri.sock"
    snapshotter.configure(
        _CONFIG.format(containerd=containerd.socket, listen=listen)
        + config.format(directory=snapshotter.directory)
    )
    with snapshotter, containerd, Cri(containerd.socket) as runtime, Cri(listen) as images:
        yield Node(containerd, snapshotter, runtime), images
        told = "\n".join([*snapshotter.fs_log(), *snapshotter.process.lines()])
        assert _AUTH.password not in told


def test_pods_start_lazily_with_the_password_of_their_pull(
    private_name: str, lazy_name: str, pause_name: str
) -> None:
    with _kubelet(pause_name) as (node, images):
        with pytest.raises(grpc.RpcError, match=r"401|authorization"):
            images.pull(private_name)
        images.pull(private_name, auth=_AUTH)
        assert images.image_bytes(private_name) is not None
        layers = set(PublishedImage(lazy_name).layer_digests)
        assert layers.isdisjoint(node.pod_ctr.content_digests())
        pod = node.cri.run_pod()
        container = node.cri.run_container(pod, private_name, ["sleep", "1000"])
        assert node.cri.exec(container, ["sh", "-c", "echo 1"]).stdout == "1\n"
        node.snapshotter.kill()
        node.snapshotter.start()
        assert node.cri.exec(container, ["python3", "-c", "print(2)"]).stdout == "2\n"


def test_a_sealed_password_outlives_whoever_knew_it(private_name: str, pause_name: str) -> None:
    with _kubelet(pause_name, _SEALED) as (node, images):
        images.pull(private_name, auth=_AUTH)
        pod = node.cri.run_pod()
        container = node.cri.run_container(pod, private_name, ["sleep", "1000"])
        node.snapshotter.kill()
        with listening(node.snapshotter.root / "fs.sock") as server:
            assert server is not None
            server.send(signal.SIGKILL)
            assert server.wait(timeout_seconds=10)
        node.snapshotter.start()
        node.pod_ctr.wait_for_snapshotter("stargz")
        # It goes on, and another one of the same image starts: both read what was never fetched.
        assert node.cri.exec(container, ["sh", "-c", "echo 1"]).stdout == "1\n"
        other = node.cri.run_container(pod, private_name, ["sleep", "1000"])
        assert node.cri.exec(other, ["python3", "-c", "print(2)"]).stdout == "2\n"
        assert "sealed credentials read" in "\n".join(node.snapshotter.fs_log())
        assert (node.snapshotter.directory / "seal.key").stat().st_mode & 0o777 == 0o600
        sealed = node.snapshotter.root / "stargz" / "credentials.sealed"
        assert _AUTH.password.encode() not in sealed.read_bytes()
