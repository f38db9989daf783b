"""A real fs server with a real mount, in front of a real registry that can be made to misbehave."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fs.layer_source import LayerSource
from fs.log import LogLevel
from fs.settings import Backend, FsSettings
from tests.fakes.faulty_proxy import FaultyProxy
from tests.fakes.registry import FakeRegistry
from tests.fs.fs_server import FsServer, PushedLayer
from tests.fs.in_process import CONTENT, NOTHING_UNASKED, push as push_to_fake
from tests.fs.layers_by_hand import HandmadeBlob
from tests.real_registry import RealRegistry


@pytest.fixture(scope="session")
def blob_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def proxy(blob_registry: RealRegistry) -> Iterator[FaultyProxy]:
    with FaultyProxy(blob_registry.host) as proxy:
        yield proxy


Push = Callable[[HandmadeBlob], PushedLayer]


@pytest.fixture
def push(blob_registry: RealRegistry, proxy: FaultyProxy) -> Push:
    """Puts a blob into the real registry, to be fetched through the proxy."""

    def push(blob: HandmadeBlob) -> PushedLayer:
        toc_digest = blob.finish()
        return PushedLayer(bytes(blob.data), toc_digest, blob_registry, proxy.host)

    return push


@pytest.fixture
def fs_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FsServer]:
    """A server that fetches nothing unasked, with the backend that a test asks for."""
    backend = getattr(request, "param", Backend.AUTO)
    settings = FsSettings(backend=backend, log_level=LogLevel.DEBUG, filling=NOTHING_UNASKED)
    with FsServer(tmp_path, settings) as server:
        yield server


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def source(fake: FakeRegistry) -> LayerSource:
    """A layer with one file, of four chunks."""
    blob = HandmadeBlob()
    blob.add_file("file", CONTENT, chunk_bytes=4096)
    return push_to_fake(blob, fake)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two MiB, of which half are taken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", disk], check=True)
    (disk / "ballast").write_bytes(bytes(1 << 20))
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
