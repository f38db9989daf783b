from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio

from fs.control import ControlService, Served, control_socket
from fs.ending import Ending
from fs.layer_trees import FuseTrees
from fs.proto import control_pb2, control_pb2_grpc
from fs.server import ServerSettings
from fs.settings import FsSettings, write_settings
from registry.digest import Digest
from registry.host_settings import HostSettings
from registry.keychain.passed_credentials import PassedCredentials
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import QUICK, REPOSITORY, layer_table, push
from tests.fs.layers_by_hand import HandmadeBlob

Call = Callable[[control_pb2_grpc.ControlStub], object]


class Service:
    """A control socket and a client, in one process: calls are made from a thread."""

    def __init__(self, socket: Path, served: Served, fake: FakeRegistry) -> None:
        self.socket = socket
        self.served = served
        self.fake = fake

    async def call(self, call: Call) -> object:
        def run() -> object:
            with grpc.insecure_channel(f"unix:{self.socket}") as channel:
                return call(control_pb2_grpc.ControlStub(channel))  # type: ignore[no-untyped-call]

        return await trio.to_thread.run_sync(run)

    async def refusal(self, request: control_pb2.AttachRequest) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            await self.call(lambda stub: stub.Attach(request, timeout=10))
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    socket = tmp_path / "control.sock"
    with FakeRegistry() as fake:
        hosts = HostSettings((tmp_path / "certs.d",))
        settings_of_client = replace(QUICK, hosts=hosts)
        async with layer_table(tmp_path / "layers", client_settings=settings_of_client) as table:
            settings = ServerSettings(tmp_path, socket, tmp_path / "settings.json")
            read = partial(trio.to_thread.run_sync, settings.read)
            passed = PassedCredentials()
            served = Served(
                table, tmp_path / "mnt", FuseTrees(tmp_path / "mnt"), Ending(), passed.put, read
            )
            async with control_socket(socket, lambda portal: ControlService(served, portal)):
                yield Service(socket, served, fake)


def request(fake: FakeRegistry, **changes: str) -> control_pb2.AttachRequest:
    source = push(HandmadeBlob(), fake)
    fields: dict[str, Any] = {
        "reference": str(source.reference),
        "layer_digest": str(source.digest),
        "toc_digest": str(source.toc_digest),
    }
    return control_pb2.AttachRequest(**{**fields, **changes})


async def test_attach_says_where(service: Service) -> None:
    wanted = request(service.fake)
    answer = await service.call(lambda stub: stub.Attach(wanted, timeout=10))
    assert isinstance(answer, control_pb2.AttachResponse)
    name = wanted.layer_digest.replace(":", "-")
    assert answer.directory == str(service.served.mountpoint / name)
    status = await service.call(lambda stub: stub.Status(control_pb2.StatusRequest(), timeout=10))
    assert isinstance(status, control_pb2.StatusResponse)
    assert [layer.layer_digest for layer in status.layers] == [wanted.layer_digest]
    assert status.version


async def test_refusals_have_a_code_and_a_reason(service: Service) -> None:
    fake = service.fake
    code, reason = await service.refusal(request(fake, layer_digest="sha256:12"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "sha256:12" in reason
    code, reason = await service.refusal(request(fake, toc_digest=str(Digest.of(b"x"))))
    assert code is grpc.StatusCode.DATA_LOSS
    assert str(Digest.of(b"x")) in reason
    missing = Digest.of(b"missing")
    code, reason = await service.refusal(request(fake, layer_digest=str(missing)))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert f"{REPOSITORY}/blobs/{missing}" in reason


async def test_hosts_that_are_configured_wrongly_are_told(service: Service) -> None:
    file = trio.Path(service.socket.parent / "certs.d" / "broken.test" / "hosts.toml")
    await file.parent.mkdir(parents=True)
    await file.write_text("server = 1")
    code, reason = await service.refusal(
        request(service.fake, reference="broken.test/some/image:1")
    )
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert f"{file}: server (must be a URL): repair the file" in reason


async def test_stop_is_answered_first(service: Service) -> None:
    await service.call(lambda stub: stub.Stop(control_pb2.StopRequest(), timeout=10))
    with trio.fail_after(5):
        await service.served.ending.wait()


async def test_only_the_owner_may_ask(service: Service) -> None:
    assert (await trio.Path(service.socket).stat()).st_mode & 0o077 == 0


async def test_settings_that_cannot_be_read_are_refused(service: Service) -> None:
    def reload(stub: Any) -> object:
        return stub.Reload(control_pb2.ReloadRequest(), timeout=10)

    with pytest.raises(grpc.RpcError, match="FAILED_PRECONDITION"):
        await service.call(reload)
    write_settings(service.socket.with_name("settings.json"), FsSettings())
    assert await service.call(reload) == control_pb2.ReloadResponse()


async def test_check_tells_what_is_missing(service: Service) -> None:
    wanted = request(service.fake)
    other = str(Digest.of(b"other"))
    for starts in (False, True):
        check = control_pb2.CheckRequest(
            layer_digests=[other, wanted.layer_digest], starts_container=starts
        )
        answer = await service.call(partial(_check, check))
        assert isinstance(answer, control_pb2.CheckResponse)
        assert list(answer.missing) == [other, wanted.layer_digest][: 1 if starts else 2]
        await service.call(lambda stub: stub.Attach(wanted, timeout=10))


def _check(
    request: control_pb2.CheckRequest, stub: control_pb2_grpc.ControlStub
) -> control_pb2.CheckResponse:
    answer: control_pb2.CheckResponse = stub.Check(request, timeout=10)
    return answer
