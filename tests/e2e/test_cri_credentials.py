"""A private registry, and a password that only the kubelet knows: it passes it to the image service that we are."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.proto import cri_pb2 as cri_messages
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter
from tests.real_registry import RealRegistry, RegistrySetup

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_AUTH = cri_messages.AuthConfig(username="kubelet", password="only the kubelet knows")
_CONFIG = """\
noprefetch = true
no_background_fetch = true
[cri_keychain]
enable_keychain = true
image_service_path = "{containerd}"
listen_path = "{listen}"
"""


@pytest.fixture
def private_name(registry: RealRegistry, lazy_name: str, tmp_path: Path) -> Iterator[str]:
    """The name of the lazy image in a registry that wants a password: it has the same storage as the open one."""
    (tmp_path / "registry-storage").symlink_to(registry.storage)
    setup = RegistrySetup(users={_AUTH.username: _AUTH.password})
    with RealRegistry(tmp_path, setup=setup) as private:
        yield PublishedImage(lazy_name).through(private.host)


def test_pods_start_lazily_with_the_password_of_their_pull(
    private_name: str, lazy_name: str, pause_name: str
) -> None:
    snapshotter = Snapshotter()
    containerd = Containerd(
        snapshotters={"stargz": snapshotter.socket},
        cri_snapshotter="stargz",
        sandbox_image=pause_name,
    )
    listen = snapshotter.directory / "cri.sock"
    snapshotter.configure(_CONFIG.format(containerd=containerd.socket, listen=listen))
    with snapshotter, containerd, Cri(containerd.socket) as runtime, Cri(listen) as images:
        with pytest.raises(grpc.RpcError, match=r"401|authorization"):
            images.pull(private_name)
        images.pull(private_name, auth=_AUTH)
        assert images.image_bytes(private_name) is not None
        layers = set(PublishedImage(lazy_name).layer_digests)
        assert layers.isdisjoint(containerd.ctr(namespace="k8s.io").content_digests())
        pod = runtime.run_pod()
        container = runtime.run_container(pod, private_name, ["sleep", "1000"])
        assert runtime.exec(container, ["sh", "-c", "echo 1"]).stdout == "1\n"
        snapshotter.kill()
        snapshotter.start()
        assert runtime.exec(container, ["python3", "-c", "print(2)"]).stdout == "2\n"
        told = "\n".join([*snapshotter.fs_log(), *snapshotter.process.lines()])
        assert _AUTH.password not in told
