"""Attaching is measured, and done by another."""

from pathlib import Path

import pytest

from fs.layer_source import LayerSource
from registry.digest import Digest
from registry.reference import Reference
from snapshotter.errors import LayerUnavailableError
from snapshotter.measured_layers import MeasuredLayerServer
from tests.fakes.layer_server import FakeLayerServer

LAYER = Digest.of(b"layer")
SOURCE = LayerSource(Reference.parse("registry.test/image:tag"), LAYER, Digest.of(b"toc"))


def test_what_succeeds_is_measured(tmp_path: Path) -> None:
    server = FakeLayerServer(tmp_path)
    seconds: list[float] = []
    measured = MeasuredLayerServer(server, seconds.append)
    assert measured.attach(SOURCE) == tmp_path / LAYER.file_name
    assert measured.served() == server.served() != {}
    measured.detach(LAYER)
    assert measured.served() == {}
    server.unavailable.add(LAYER)
    with pytest.raises(LayerUnavailableError):
        measured.attach(SOURCE)
    (only,) = seconds
    assert only >= 0
