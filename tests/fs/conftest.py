"""A real fs server with a real mount, in front of a real registry that can be made to misbehave."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import pytest
import trio

from fs.layer import LayerSource
from fs.log import LogLevel
from fs.proto import control_pb2, control_pb2_grpc
from fs.settings import FsSettings, write_settings
from registry.client import ClientSettings, RegistryClient
from registry.digest import Digest
from registry.reference import Reference
from tests.e2e.leftovers import mounts_under, unmount_all_under
from tests.e2e.logged_process import LoggedProcess
from tests.e2e.registry_log import parse_accesses, synchronize
from tests.fakes.faulty_proxy import FaultyProxy
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import CONTENT, NOTHING_UNASKED, push
from tests.fs.layers_by_hand import HandmadeBlob
from tests.real_registry import RealRegistry

REPOSITORY = "test/image"


class FsServer:
    """``python -m fs.server`` on a root of its own; a context manager that leaves nothing mounted."""

    def __init__(self, directory: Path, settings: FsSettings) -> None:
        self.settings = directory / "settings.json"
        write_settings(self.settings, settings)
        self.root = directory / "fs"
        self.socket = directory / "fs.sock"
        self.process: LoggedProcess | None = None
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        left = mounts_under(self.root)
        unmount_all_under(self.root)
        assert left == []

    @property
    def control(self) -> control_pb2_grpc.ControlStub:
        self._channel = self._channel or grpc.insecure_channel(f"unix:{self.socket}")
        return control_pb2_grpc.ControlStub(self._channel)  # type: ignore[no-untyped-call]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        assert self.process is not None
        return "\n".join(self.process.lines())

    def start(self) -> None:
        words: list[str | Path] = [
            "--root",
            self.root,
            "--socket",
            self.socket,
            "--settings",
            self.settings,
        ]
        command = [sys.executable, "-m", "fs.server", *words]
        self.process = LoggedProcess(command)
        self.process.wait_for_line('"fs server (ready|cannot run)"', deadline_seconds=20)

    def end(self) -> None:
        """Ends the process as ``serve --stop`` does; a dead one stays dead."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self.process is not None:
            self.process.stop()
            self.process.join_log()

    def kill(self) -> None:
        """Ends the process without a word."""
        assert self.process is not None
        self.process.kill()
        self.end()

    def attach(self, layer: "PushedLayer", *neighbours: "PushedLayer") -> Path:
        request = control_pb2.AttachRequest(
            reference=layer.reference,
            layer_digest=str(layer.digest),
            toc_digest=str(layer.toc_digest),
            neighbours=[str(neighbour.digest) for neighbour in neighbours],
        )
        return Path(self.control.Attach(request, timeout=30).directory)

    def status(self, layer: "PushedLayer") -> control_pb2.LayerStatus:
        answer: control_pb2.StatusResponse = self.control.Status(
            control_pb2.StatusRequest(), timeout=10
        )
        (status,) = (s for s in answer.layers if s.layer_digest == str(layer.digest))
        return status


class PushedLayer:
    """A layer in the registry, and how often it has been asked for since."""

    def __init__(self, data: bytes, toc_digest: Digest, registry: RealRegistry, host: str) -> None:
        self.toc_digest = toc_digest
        self.digest = Digest.of(data)
        self.size = len(data)
        self.reference = f"{host}/{REPOSITORY}:1"
        self._registry = registry
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            trio.run(self._push, Path(file.name))

    async def _push(self, path: Path) -> None:
        reference = Reference.parse(f"{self._registry.host}/{REPOSITORY}:1")
        async with RegistryClient(ClientSettings()) as client:
            await client.push_blob(reference.repository_name, self.digest, path)

    def requests(self) -> int:
        """How many requests for the blob the registry has logged."""
        synchronize(self._registry)
        accesses = parse_accesses(self._registry.lines())
        return sum(a.is_blob_read and str(self.digest) in a.path for a in accesses)


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


def drop_page_cache() -> None:
    """Makes the next read of anything reach its file system."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


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
