"""Calls are measured with the code they end with."""

import grpc
import pytest

from snapshotter.mounts import Kind
from tests.snapshotter.conftest import Site
from tests.snapshotter.grpc_site import serving
from tests.snapshotter.remote_snapshots import refused


@pytest.mark.filterwarnings("error")
def test_each_call_is_told_once(site: Site) -> None:
    calls: list[tuple[str, str]] = []
    with serving(site, lambda method, code, seconds: calls.append((method, code))) as snapshots:
        snapshots.prepare("a", "", {})
        assert snapshots.stat("a").kind is Kind.ACTIVE
        with refused(grpc.StatusCode.NOT_FOUND):
            snapshots.stat("missing")
        assert [record.name for record in snapshots.walk()] == ["a"]
    assert calls == [("Prepare", "OK"), ("Stat", "OK"), ("Stat", "NOT_FOUND")]
