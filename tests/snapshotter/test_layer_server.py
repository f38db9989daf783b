"""The fake keeps the promises of the real layer server that tests rely on."""

from pathlib import Path

import pytest

from fs.layer_source import LayerSource
from registry.digest import Digest
from registry.reference import Reference
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.layer_server import LayerServer, ServedLayer
from tests.fakes.layer_server import FakeLayerServer

LAYER = Digest.of(b"layer")
SOURCE = LayerSource(Reference.parse("registry.test/image:tag"), LAYER, Digest.of(b"toc"))


@pytest.fixture
def fake(tmp_path: Path) -> FakeLayerServer:
    return FakeLayerServer(tmp_path)


def test_a_layer_is_served_until_it_is_detached(fake: FakeLayerServer) -> None:
    server: LayerServer = fake
    fake.put(LAYER, {"file": "content"})
    directory = server.attach(SOURCE)
    assert server.attach(SOURCE) == directory
    assert (directory / "file").read_text() == "content"
    assert server.served() == {LAYER: ServedLayer(LAYER, 7)}
    server.detach(LAYER)
    server.detach(LAYER)
    assert server.served() == {}
    assert not directory.exists()


def test_failures(fake: FakeLayerServer) -> None:
    fake.unavailable.add(LAYER)
    with pytest.raises(LayerUnavailableError):
        fake.attach(SOURCE)
    fake.gone = True
    for call in (lambda: fake.attach(SOURCE), lambda: fake.detach(LAYER), fake.served):
        with pytest.raises(FsServerError):
            call()
