"""Talking to the fs server: what its answers mean, and what is done when it is gone."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fs.layer_source import LayerSource
from fs.proto import control_pb2 as pb, control_pb2_grpc
from registry.digest import Digest
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.fs_client import FsClient
from snapshotter.layer_server import ServedLayer
from snapshotter.pulled_credentials import PulledCredentials

LAYER, TOC, ABOVE = (Digest.of(text) for text in (b"layer", b"toc", b"above"))
SOURCE = LayerSource(Reference.parse("registry.test/image:tag"), LAYER, TOC, (ABOVE,))


class Control(control_pb2_grpc.ControlServicer):
    """Answers as the fs server does."""

    def __init__(self) -> None:
        self.attached: list[pb.AttachRequest] = []
        self.checked: list[pb.CheckRequest] = []
        self.detached: list[str] = []
        self.failure: grpc.StatusCode | None = None
        self.stopped = False
        self.reloads = 0
        self.passed: list[pb.PassCredentialsRequest] = []

    def Attach(self, request: pb.AttachRequest, context: grpc.ServicerContext) -> pb.AttachResponse:  # noqa: N802
        self._fail_if_told(context)
        self.attached.append(request)
        return pb.AttachResponse(directory="/mnt/layer")

    def Detach(self, request: pb.DetachRequest, context: grpc.ServicerContext) -> pb.DetachResponse:  # noqa: N802
        self._fail_if_told(context)
        self.detached.append(request.layer_digest)
        return pb.DetachResponse()

    def Check(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:  # noqa: N802
        self._fail_if_told(context)
        self.checked.append(request)
        return pb.CheckResponse(missing=[str(ABOVE)])

    def Status(self, request: pb.StatusRequest, context: grpc.ServicerContext) -> pb.StatusResponse:  # noqa: N802
        self._fail_if_told(context)
        return pb.StatusResponse(
            mountpoint="/mnt",
            layers=[
                pb.LayerStatus(layer_digest=str(LAYER), present_bytes=123, last_error="it rained")
            ],
        )

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopResponse:  # noqa: N802
        self._fail_if_told(context)
        self.stopped = True
        return pb.StopResponse()

    def Reload(self, request: pb.ReloadRequest, context: grpc.ServicerContext) -> pb.ReloadResponse:  # noqa: N802
        self._fail_if_told(context)
        self.reloads += 1
        return pb.ReloadResponse()

    def PassCredentials(  # noqa: N802
        self, request: pb.PassCredentialsRequest, context: grpc.ServicerContext
    ) -> pb.PassCredentialsResponse:
        self._fail_if_told(context)
        self.passed.append(request)
        return pb.PassCredentialsResponse()

    def _fail_if_told(self, context: grpc.ServicerContext) -> None:
        if self.failure is not None:
            context.abort(self.failure, "told to fail")


class Server:
    """A control socket that can come and go."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.control = Control()
        self.starts = 0
        self._server: grpc.Server | None = None

    def ensure_running(self) -> bool:
        if self._server is not None:
            return False
        self.starts += 1
        self._server = grpc.server(ThreadPoolExecutor(4))
        control_pb2_grpc.add_ControlServicer_to_server(self.control, self._server)  # type: ignore[no-untyped-call]
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()
        return True

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name) / "fs.sock")
        server.ensure_running()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[FsClient]:
    with FsClient(server.socket, server.ensure_running) as client:
        yield client


def test_attaching(client: FsClient, server: Server) -> None:
    assert client.attach(SOURCE) == Path("/mnt/layer")
    (request,) = server.control.attached
    assert request == pb.AttachRequest(
        reference="registry.test/image:tag",
        layer_digest=str(LAYER),
        toc_digest=str(TOC),
        neighbours=[str(ABOVE)],
    )


def test_asking_what_is_missing(client: FsClient, server: Server) -> None:
    assert client.missing([LAYER, ABOVE]) == {ABOVE}
    assert client.missing_at_start([LAYER]) == {ABOVE}
    asked = [(list(r.layer_digests), r.starts_container) for r in server.control.checked]
    assert asked == [([str(LAYER), str(ABOVE)], False), ([str(LAYER)], True)]


def test_credentials_are_handed_over(client: FsClient, server: Server) -> None:
    token = Credentials("", "secret", SecretKind.IDENTITY_TOKEN)
    client.pass_credentials(PulledCredentials(SOURCE.reference, token))
    (request,) = server.control.passed
    kind = pb.PassCredentialsRequest.IDENTITY_TOKEN
    assert request == pb.PassCredentialsRequest(
        reference="registry.test/image:tag", secret="secret", kind=kind
    )


def test_settings_are_read_again(client: FsClient, server: Server) -> None:
    client.reload()
    assert server.control.reloads == 1
    server.control.failure = grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(FsServerError):
        client.reload()


def test_detaching_asking_and_stopping(client: FsClient, server: Server) -> None:
    client.detach(LAYER)
    assert server.control.detached == [str(LAYER)]
    served = ServedLayer(LAYER, 123, directory=f"/mnt/{LAYER.file_name}", last_error="it rained")
    assert client.served() == {LAYER: served}
    client.stop()
    assert server.control.stopped


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS])
def test_a_layer_the_server_cannot_serve(
    client: FsClient, server: Server, code: grpc.StatusCode
) -> None:
    server.control.failure = code
    with pytest.raises(LayerUnavailableError, match=f"{LAYER}.*told to fail"):
        client.attach(SOURCE)
    assert server.starts == 1


def test_other_failures_of_the_server(client: FsClient, server: Server) -> None:
    server.control.failure = grpc.StatusCode.INTERNAL
    with pytest.raises(FsServerError, match="told to fail"):
        client.detach(LAYER)
    with pytest.raises(FsServerError, match="told to fail"):
        client.served()
    with pytest.raises(FsServerError, match="told to fail"):
        client.stop()


def test_a_server_that_is_gone_is_started_again(client: FsClient, server: Server) -> None:
    client.served()
    server.stop()
    assert client.attach(SOURCE) == Path("/mnt/layer")
    assert server.starts == 2


def test_a_server_that_cannot_be_started(server: Server) -> None:
    def refuse() -> bool:
        raise FsServerError("no /dev/fuse")

    server.stop()
    with FsClient(server.socket, refuse) as client:
        with pytest.raises(FsServerError, match="no /dev/fuse"):
            client.attach(SOURCE)
        with pytest.raises(FsServerError, match="nobody listens on"):
            client.stop()


def test_calls_after_the_end(client: FsClient, server: Server) -> None:
    with client:
        pass
    with pytest.raises(FsServerError, match="ending"):
        client.attach(SOURCE)
    assert server.starts == 1
