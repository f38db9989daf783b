"""A real fs server with a real mount, in front of a real registry that can be made to misbehave."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.layer import LayerSource
from fs.log import LogLevel
from fs.settings import FsSettings
from tests.fakes.faulty_proxy import FaultyProxy
from tests.fakes.registry import FakeRegistry
from tests.fs.fs_server import FsServer
from tests.fs.in_process import CONTENT, NOTHING_UNASKED, push
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


@pytest.fixture
def fs_server(tmp_path: Path) -> Iterator[FsServer]:
    """A server that fetches nothing unasked."""
    settings = FsSettings(log_level=LogLevel.DEBUG, filling=NOTHING_UNASKED)
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
    return push(blob, fake)
