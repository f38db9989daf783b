"""The control socket: what the snapshotter asks of the fs server (``fs/proto/control.proto``).

gRPC answers on threads of its own; each call crosses into trio through the portal and waits there.
"""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent import futures
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
import trio
from anyio.from_thread import BlockingPortal

from estargz.errors import EstargzError
from fs.durations import Operation
from fs.ending import Ending
from fs.errors import FsError
from fs.layer_source import parse_source_message
from fs.layer_trees import LayerTrees
from fs.layers import LayerTable
from fs.proto import control_pb2, control_pb2_grpc
from fs.status_messages import cache_message, duration_message, fetch_message, layer_message
from registry.digest import Digest
from registry.errors import ContentError, HostsError, RegistryError
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference, Repository

_log = logging.getLogger(__name__)
# More than the snapshotter has: each may let a container wait.
_THREADS = 96
_STOP_GRACE_SECONDS = 2.0
# Subclasses come before their bases: the first match counts.
_STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (RegistryError, grpc.StatusCode.UNAVAILABLE),
    (EstargzError, grpc.StatusCode.DATA_LOSS),
    (HostsError, grpc.StatusCode.FAILED_PRECONDITION),
    (ContentError, grpc.StatusCode.INVALID_ARGUMENT),
    (FsError, grpc.StatusCode.FAILED_PRECONDITION),
    (OSError, grpc.StatusCode.RESOURCE_EXHAUSTED),
)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """What the control service speaks for.

    Attributes:
        trees: shows the layers.
        ending: how the process is asked to end.
        pass_credentials: keeps credentials for a repository; called from any thread.
        reload: reads the settings again; raises ``SettingsError``, and changes nothing, if they cannot be used.
    """

    layers: LayerTable
    mountpoint: Path
    trees: LayerTrees
    ending: Ending
    pass_credentials: Callable[[Repository, Credentials], None]
    reload: Callable[[], Coroutine[Any, Any, object]]


class ControlService(control_pb2_grpc.ControlServicer):
    """Translates calls; the work is done by ``fs.layers``."""

    def __init__(self, served: Served, portal: BlockingPortal) -> None:
        self._served = served
        self._portal = portal

    def Attach(
        self, request: control_pb2.AttachRequest, context: grpc.ServicerContext
    ) -> control_pb2.AttachResponse:
        """Makes a layer readable and says where."""

        async def attach() -> control_pb2.AttachResponse:
            source = parse_source_message(request)
            with self._served.layers.durations.measured(Operation.MOUNT):
                layer = await self._served.layers.attach(source)
                directory = await self._served.trees.show(layer)
            return control_pb2.AttachResponse(directory=str(directory))

        return self._answer(context, attach)

    def Detach(
        self, request: control_pb2.DetachRequest, context: grpc.ServicerContext
    ) -> control_pb2.DetachResponse:
        """Forgets a layer and deletes its files."""

        async def detach() -> None:
            digest = Digest.parse(request.layer_digest)
            await self._served.layers.detach(digest)
            await self._served.trees.hide(digest)

        self._answer(context, detach)
        return control_pb2.DetachResponse()

    def Check(
        self, request: control_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> control_pb2.CheckResponse:
        """Tells which layers cannot be read now, and may let a container wait for the others."""

        async def check() -> control_pb2.CheckResponse:
            digests = [Digest.parse(text) for text in request.layer_digests]
            if request.starts_container:
                await self._served.layers.wait_prefetched(digests)
            layers, shown = self._served.layers, self._served.trees.is_shown
            missing = [str(d) for d in digests if d not in layers or not shown(d)]
            return control_pb2.CheckResponse(missing=missing)

        return self._answer(context, check)

    def Status(
        self, request: control_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> control_pb2.StatusResponse:
        """Tells what is served."""
        return self._portal.call(self._status)

    def _status(self) -> control_pb2.StatusResponse:
        """All numbers of one moment: in the loop."""
        layers, shown = self._served.layers, self._served.trees.is_shown
        return control_pb2.StatusResponse(
            version=version("pyestargz"),
            mountpoint=str(self._served.mountpoint),
            layers=[layer_message(s) for s in layers.statistics() if shown(s.layer)],
            cache=cache_message(layers.cache_statistics()),
            fetching=fetch_message(layers.fetch_statistics()),
            durations=[duration_message(h) for h in layers.durations.statistics()],
        )

    def Stop(
        self, request: control_pb2.StopRequest, context: grpc.ServicerContext
    ) -> control_pb2.StopResponse:
        """Asks the server to end; it does so after it has answered."""
        self._portal.call(self._served.ending.unmount)
        return control_pb2.StopResponse()

    def PassCredentials(
        self, request: control_pb2.PassCredentialsRequest, context: grpc.ServicerContext
    ) -> control_pb2.PassCredentialsResponse:
        """Keeps credentials for an image's repository."""

        async def keep() -> None:
            repository = Reference.parse(request.reference).repository_name
            kind = SecretKind[control_pb2.PassCredentialsRequest.Kind.Name(request.kind)]
            credentials = Credentials(request.username, request.secret, kind)
            await trio.to_thread.run_sync(self._served.pass_credentials, repository, credentials)

        self._answer(context, keep)
        return control_pb2.PassCredentialsResponse()

    def Reload(
        self, request: control_pb2.ReloadRequest, context: grpc.ServicerContext
    ) -> control_pb2.ReloadResponse:
        """Reads the settings again."""
        self._answer(context, self._served.reload)
        return control_pb2.ReloadResponse()

    def _answer(
        self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        try:
            answer: T = self._portal.call(work)
        except Exception as error:  # noqa: BLE001 - the RPC boundary of this process
            _abort(context, error)
        return answer


@asynccontextmanager
async def control_socket(
    path: Path, make_service: Callable[[BlockingPortal], ControlService]
) -> AsyncIterator[None]:
    """Serves the control service on a unix socket that only its owner may open.

    Raises:
        OSError: the socket cannot be made.
    """
    async with BlockingPortal() as portal:
        server = _listen(path, make_service(portal))
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                stopped = server.stop(_STOP_GRACE_SECONDS)
                await trio.to_thread.run_sync(stopped.wait)


def _listen(path: Path, service: ControlService) -> grpc.Server:
    path.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS, "control"))
    control_pb2_grpc.add_ControlServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise OSError(f"{path}: {error}") from error
    path.chmod(0o600)
    server.start()
    return server


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    for kind, code in _STATUS:
        if isinstance(error, kind):
            context.abort(code, str(error))
    _log.error("bug: unforeseen error", exc_info=error)
    context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
