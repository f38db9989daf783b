"""A real fs server in front of a real registry, for tests and benchmarks."""

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import grpc
import trio

from fs.proto import control_pb2, control_pb2_grpc
from fs.settings import FsSettings, write_settings
from registry.client import ClientSettings, RegistryClient
from registry.digest import Digest
from registry.reference import Reference
from tests.e2e.leftovers import mounts_under, unmount_all_under
from tests.e2e.logged_process import LoggedProcess
from tests.e2e.registry_log import parse_accesses, synchronize
from tests.real_registry import RealRegistry

CHECKOUT = Path(__file__).parents[2]
REPOSITORY = "test/image"


class NamedLayer(Protocol):
    """What an fs server must know of a layer."""

    @property
    def reference(self) -> str | Reference: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def toc_digest(self) -> Digest: ...


class FsServer:
    """``python -m fs.server`` on a root of its own; a context manager that leaves nothing mounted."""

    def __init__(self, directory: Path, settings: FsSettings) -> None:
        self.settings = directory / "settings.json"
        write_settings(self.settings, settings)
        self.root = directory / "fs"
        self.socket = directory / "fs.sock"
        self.checkout = CHECKOUT  # where its code is from, when it is started the next time
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

    def start(
        self, *, environment: Mapping[str, str] | None = None, held: Sequence[int] = ()
    ) -> None:
        """Starts the process, which inherits what the service manager held."""
        words: list[str | Path] = [
            "--root",
            self.root,
            "--socket",
            self.socket,
            "--settings",
            self.settings,
            *(f"--held-fd={descriptor}" for descriptor in held),
        ]
        command = [sys.executable, "-m", "fs.server", *words]
        self.process = LoggedProcess(command, env=environment, cwd=self.checkout, pass_fds=held)
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

    def hand_over(self) -> None:
        """Ends the process for another one to take its place."""
        os.kill(self.pid, signal.SIGUSR1)
        assert self.process is not None
        assert self.process.wait(deadline_seconds=15) == 0
        self.end()

    def attach(self, layer: NamedLayer, *neighbours: NamedLayer) -> Path:
        request = control_pb2.AttachRequest(
            reference=str(layer.reference),
            layer_digest=str(layer.digest),
            toc_digest=str(layer.toc_digest),
            neighbours=[str(neighbour.digest) for neighbour in neighbours],
        )
        return Path(self.control.Attach(request, timeout=60).directory)

    def statistics(self) -> control_pb2.StatusResponse:
        answer: control_pb2.StatusResponse = self.control.Status(
            control_pb2.StatusRequest(), timeout=10
        )
        return answer

    def status(self, layer: NamedLayer) -> control_pb2.LayerStatus:
        (status,) = (s for s in self.statistics().layers if s.layer_digest == str(layer.digest))
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


def drop_page_cache() -> None:
    """Makes the next read of anything reach its file system."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def read_uncached(path: Path) -> bytes:
    """A file's content, of which the kernel keeps nothing: the next read asks the server again."""
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        content = file.read()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return content
