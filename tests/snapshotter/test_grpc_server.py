"""The socket for containerd: private, exclusive, and healthy as long as it serves."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from snapshotter.errors import StartupError
from tests.snapshotter.conftest import Site
from tests.snapshotter.grpc_site import serving


def test_it_is_private_and_goes_when_serving_ends(site: Site) -> None:
    address = site.work.with_name("run") / "grpc.sock"
    with serving(site, lambda *_: None) as snapshots:
        assert list(snapshots.walk()) == []
        assert address.stat().st_mode & 0o777 == 0o600
        assert address.parent.stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(StartupError, match="another process listens"),
            serving(site, lambda *_: None),
        ):
            pass
    assert not address.exists()


@pytest.mark.parametrize("service", ["", "containerd.services.snapshots.v1.Snapshots"])
def test_probes_are_answered(site: Site, service: str) -> None:
    address = site.work.with_name("run") / "grpc.sock"
    with serving(site, lambda *_: None), grpc.insecure_channel(f"unix:{address}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(request, timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
