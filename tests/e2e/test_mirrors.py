"""A lazy container goes on reading while a mirror of its registry goes down and comes back."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Conversation
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.registry_log import Access, parse_accesses, synchronize
from tests.e2e.snapshotter_process import Snapshotter
from tests.e2e.specimens import big_file
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.real_registry import RealRegistry, RegistrySetup

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_SMALL, _ZEROS, _BIG = (f"/specimens/content/{name}" for name in ("one-byte", "zeros", "big"))


@pytest.fixture
def mirror(registry: RealRegistry, tmp_path: Path) -> RealRegistry:
    """Another registry with the same content, not started yet; at the same address each time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    return RealRegistry(tmp_path, setup=RegistrySetup(storage=registry.storage, address=address))


@pytest.fixture
def origin(registry: RealRegistry) -> Iterator[FaultyProxy]:
    """The registry itself, as images name it."""
    with FaultyProxy(registry.host) as origin:
        yield origin


@pytest.fixture
def config(mirror: RealRegistry, origin: FaultyProxy, tmp_path: Path) -> str:
    """A snapshotter's configuration, by which the origin has the mirror."""
    directory = tmp_path / "certs.d" / f"{origin.host.replace(':', '_')}_"
    directory.mkdir(parents=True)
    capabilities = 'capabilities = ["pull", "resolve"]'
    (directory / "hosts.toml").write_text(f'[host."http://{mirror.address}"]\n{capabilities}\n')
    return f'{FETCH_WHAT_IS_READ}[registry]\nconfig_path = "{tmp_path}/certs.d"\n'


def test_a_container_reads_on_while_a_mirror_goes_down_and_comes_back(
    mirror: RealRegistry, origin: FaultyProxy, config: str, lazy_name: str
) -> None:
    image = PublishedImage(lazy_name)
    name = image.through(origin.host)
    with (
        ExitStack() as life,
        Snapshotter(config) as snapshotter,
        Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd,
    ):
        ctr = containerd.ctr()
        life.enter_context(mirror)
        ctr.rpull(name)
        with Conversation(ctr, name, ARGV, snapshotter="stargz") as container:
            assert container.ask(_SMALL) == digest(b"x")
            asked = _blob_reads(mirror)
            assert len(asked) >= len(set(image.layer_digests))
            assert all(f"ns={origin.host}" in access.path for access in asked)

            life.close()
            assert container.ask(_ZEROS) == digest(bytes(300_000))
            assert "chunk unavailable" not in "".join(snapshotter.fs_log())

            life.enter_context(mirror)
            origin.set_fault(Fault.REFUSED)
            assert container.ask(_BIG) == digest(big_file())
            assert _blob_reads(mirror)


def _blob_reads(registry: RealRegistry) -> list[Access]:
    """What it was asked for in its present life."""
    synchronize(registry)
    return [access for access in parse_accesses(registry.lines()) if access.is_blob_read]
