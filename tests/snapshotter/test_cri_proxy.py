"""The image service that hands on: every method, every byte, every error; and the credentials are learnt before the pull."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from snapshotter.cri_proxy import CriProxy
from snapshotter.errors import FsServerError
from snapshotter.grpc_server import serving_alone
from snapshotter.pulled_credentials import PulledCredentials
from tests.e2e.proto import cri_pb2 as cri

_PULL = cri.PullImageRequest(
    image=cri.ImageSpec(image="r.test/app:1"), auth=cri.AuthConfig(username="u", password="p")
)


class ImageService(grpc.GenericRpcHandler):
    """Answers every method of any service with its name and what it got; fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append((details.method, request))
            if request == b"fail":
                context.set_trailing_metadata((("reason-bin", b"\0\1"),))
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it rained")
            metadata = dict(context.invocation_metadata())
            return (
                details.method.encode() + b" " + request + str(metadata.get("trace", "")).encode()
            )

        return grpc.unary_unary_rpc_method_handler(answer)


class Site:
    """A proxy between a client and an image service."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.image_service = ImageService()
        self.learnt: list[PulledCredentials] = []
        self.is_deaf = False

    def learn(self, pulled: PulledCredentials) -> None:
        if self.is_deaf:
            raise FsServerError("away")
        assert self.image_service.calls == []
        self.learnt.append(pulled)

    def call(self, method: str, request: bytes) -> Any:
        with grpc.insecure_channel(f"unix:{self.directory}/proxy.sock") as channel:
            call: Any = channel.unary_unary(method)
            return call(request, timeout=20, metadata=(("trace", "!"),))


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="cri-") as name, ThreadPoolExecutor(8) as threads:
        site = Site(Path(name))
        backend, proxy = site.directory / "backend.sock", site.directory / "proxy.sock"
        with (
            serving_alone(backend, site.image_service, threads),
            CriProxy(backend, site.learn) as handler,
            serving_alone(proxy, handler, threads),
        ):
            yield site


@pytest.mark.parametrize("version", ["v1", "v1alpha2"])
@pytest.mark.parametrize("name", ["ListImages", "ImageFsInfo", "ComesNextYear"])
def test_every_method_is_handed_on(site: Site, version: str, name: str) -> None:
    method = f"/runtime.{version}.ImageService/{name}"
    assert site.call(method, b"\0any\xff") == method.encode() + b" \0any\xff!"
    assert site.learnt == []


def test_credentials_are_learnt_before_the_pull(site: Site) -> None:
    raw = _PULL.SerializeToString()
    site.call("/runtime.v1.ImageService/PullImage", raw)
    (learnt,) = site.learnt
    assert (str(learnt.reference), learnt.credentials.username) == ("r.test/app:1", "u")
    assert site.image_service.calls == [("/runtime.v1.ImageService/PullImage", raw)]


def test_a_pull_goes_on_when_nobody_keeps_credentials(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.is_deaf = True
    site.call("/runtime.v1.ImageService/PullImage", _PULL.SerializeToString())
    assert len(site.image_service.calls) == 1
    (record,) = caplog.records
    assert record.__dict__["fields"] == {"image": "r.test/app:1", "error": "fs server: away"}


def test_errors_arrive_as_they_were(site: Site) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        site.call("/runtime.v1.ImageService/RemoveImage", b"fail")
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "it rained")
    assert ("reason-bin", b"\0\1") in error.trailing_metadata()


def test_nothing_else_is_handed_on(site: Site) -> None:
    with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
        site.call("/runtime.v1.RuntimeService/RunPodSandbox", b"")
    assert site.image_service.calls == []
