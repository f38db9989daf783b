"""Images, a registry, and a node (containerd with our snapshotter plugged in) for the end-to-end tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.ctr import Ctr
from tests.e2e.images import debian_python_image, default_cache, pause_image
from tests.e2e.layered_tree import BuiltImage
from tests.e2e.oci_layout import push
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access, parse_accesses, synchronize
from tests.e2e.snapshotter_process import Snapshotter, run_cli, unchecked_layers
from tests.real_registry import RealRegistry, RegistrySetup

# A user of private registries, and the password.
PRIVATE = ("somebody", "nobody else knows")
# Tests that count decide themselves when something is fetched.
FETCH_WHAT_IS_READ = "noprefetch = true\nno_background_fetch = true\n"


@dataclass(frozen=True, slots=True)
class Node:
    """A containerd with our snapshotter plugged in as `stargz`, for CRI too."""

    containerd: Containerd
    snapshotter: Snapshotter
    cri: Cri

    @property
    def ctr(self) -> Ctr:
        """The command line client of the default namespace."""
        return self.containerd.ctr()

    @property
    def pod_ctr(self) -> Ctr:
        """The command line client of the namespace CRI uses."""
        return self.containerd.ctr(namespace="k8s.io")


@pytest.fixture(scope="session", autouse=True)
def all_metadata_images_are_sound() -> Iterator[None]:
    """Fails the session unless erofs-utils has looked at the image of every layer that was mounted in it."""
    yield
    assert unchecked_layers() == set(), "Snapshotter.check_images was not called before they went"


@pytest.fixture(scope="session")
def image() -> BuiltImage:
    return debian_python_image(default_cache())


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def pause_name(registry: RealRegistry) -> str:
    """The name of the sandbox image."""
    return push(pause_image(default_cache()).layout, registry.host, "pause")


@pytest.fixture(scope="session")
def plain_name(image: BuiltImage, registry: RealRegistry) -> str:
    """The name of the ordinary, gzip-compressed Debian image."""
    return push(image.layout, registry.host, "debian", "plain")


@pytest.fixture(scope="session")
def lazy_name(image: BuiltImage, registry: RealRegistry) -> str:
    """The name of the Debian image as our converter made it, from the OCI layout."""
    name = f"{registry.host}/debian:lazy"
    run_cli("convert", f"oci:{image.layout}", name)
    return name


@pytest.fixture
def private_name(registry: RealRegistry, lazy_name: str, tmp_path: Path) -> Iterator[str]:
    """The name of the lazy image in a registry that wants `PRIVATE`'s password: it has the same storage as the open one."""
    setup = RegistrySetup(users=dict([PRIVATE]), storage=registry.storage)
    with RealRegistry(tmp_path, setup=setup) as private:
        yield PublishedImage(lazy_name).through(private.host)


@pytest.fixture(scope="session")
def go_lazy_name(plain_name: str, registry: RealRegistry) -> str:
    """The name of the Debian image as stargz-snapshotter's converter made it."""
    return _convert_by_go(plain_name, f"{registry.host}/debian-go:lazy", kind="--estargz")


@pytest.fixture(scope="session")
def go_zstd_name(plain_name: str, registry: RealRegistry) -> str:
    """The name of the Debian image as the same converter made zstd:chunked of it."""
    return _convert_by_go(plain_name, f"{registry.host}/debian-go:zstd", kind="--zstdchunked")


@pytest.fixture(scope="session")
def go_optimized_name(plain_name: str, registry: RealRegistry) -> str:
    """The name of the Debian image as stargz-snapshotter's tool optimized it for starting Python."""
    return _optimize_by_go(plain_name, f"{registry.host}/debian-go:optimized")


@cache
def _optimize_by_go(source: str, name: str) -> str:
    run = ("--net-host", "--period", "3", "--args", '["python3", "-c", "print(1)"]')
    with Containerd() as containerd:
        ctr = containerd.ctr()
        ctr.pull(source)
        # Level 1 is a third of the time; what is tested does not depend on it.
        options = ("--oci", "--estargz-compression-level", "1", *run)
        ctr.remote("images", "optimize", *options, source, name, timeout_seconds=200)
        ctr.push(name)
    return name


@cache  # pytest makes session fixtures anew when they are asked for by name
def _convert_by_go(source: str, name: str, *, kind: str) -> str:
    with Containerd() as containerd:
        ctr = containerd.ctr()
        ctr.pull(source)
        ctr.convert(source, name, kind=kind)
        ctr.push(name)
    return name


@pytest.fixture
def overlay_containerd(pause_name: str) -> Iterator[Containerd]:
    """A containerd as it comes: everything through overlayfs."""
    with Containerd(sandbox_image=pause_name) as containerd:
        yield containerd


@pytest.fixture
def node(pause_name: str) -> Iterator[Node]:
    with (
        Snapshotter(FETCH_WHAT_IS_READ) as snapshotter,
        Containerd(
            snapshotters={"stargz": snapshotter.socket},
            cri_snapshotter="stargz",
            sandbox_image=pause_name,
        ) as containerd,
        Cri(containerd.socket) as cri,
    ):
        yield Node(containerd, snapshotter, cri)


@pytest.fixture
def new_accesses(registry: RealRegistry) -> Callable[[], list[Access]]:
    """A function that returns what the registry was asked for since it was called the last time."""
    seen = 0

    def read_new() -> list[Access]:
        nonlocal seen
        synchronize(registry)
        lines = registry.lines()
        new, seen = lines[seen:], len(lines)
        return parse_accesses(new)

    return read_new
