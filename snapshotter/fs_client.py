"""The fs server, as the snapshotter talks to it: over its control socket, with a deadline for every call."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from fs.cache_usage import CacheStatistics
from fs.durations import Histogram, Operation
from fs.fetch_counters import FetchStatistics, Transfer
from fs.filling import MAX_WAIT_SECONDS
from fs.layer_source import LayerSource
from fs.proto import control_pb2 as pb, control_pb2_grpc
from registry.digest import Digest
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.layer_server import FsStatus, ServedLayer
from snapshotter.pulled_credentials import PulledCredentials
from snapshotter.unix_socket import is_listening

_ATTACH_SECONDS = 60.0
_DETACH_SECONDS = 30.0
_STATUS_SECONDS = 10.0
_STOP_SECONDS = 10.0
_CHANNEL_OPTIONS = (
    # A restarted server is found at once: it is on this machine.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 << 20),
)

# A server of another version may measure others.
_OPERATIONS = {operation.value for operation in Operation}

T = TypeVar("T")


class FsClient:
    """A ``LayerServer`` that is another process. A context manager: leaving it closes the connection.

    Args:
        socket: The server's control socket.
        ensure_running: Starts the server if it does not run, and tells whether it did start one.
    """

    def __init__(self, socket: Path, ensure_running: Callable[[], bool]) -> None:
        self._socket = socket
        self._ensure_running = ensure_running
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=_CHANNEL_OPTIONS)
        self._control: Any = control_pb2_grpc.ControlStub(self._channel)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        return f"<FsClient {self._socket}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def attach(self, source: LayerSource) -> Path:
        """Makes a layer readable and tells where.

        Raises:
            LayerUnavailableError: the server cannot serve it.
            FsServerError: there is no server, and none could be started.
        """
        try:
            response: pb.AttachResponse = self._call(
                self._control.Attach, source.message(), timeout_seconds=_ATTACH_SECONDS
            )
        except grpc.RpcError as error:
            raise LayerUnavailableError(str(source.digest), self._reason(error)) from error
        return Path(response.directory)

    def detach(self, layer: Digest) -> None:
        """Forgets a layer, and what was kept of it.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        request = pb.DetachRequest(layer_digest=str(layer))
        self._call_or_fail(self._control.Detach, request, timeout_seconds=_DETACH_SECONDS)

    def missing(self, layers: Collection[Digest]) -> set[Digest]:
        """Those that cannot be read now.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        return self._check(layers, starts_container=False)

    def missing_at_start(self, layers: Collection[Digest]) -> set[Digest]:
        """As ``missing``, when a container may start on the others.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        return self._check(layers, starts_container=True)

    def served(self) -> Mapping[Digest, ServedLayer]:
        """The layers that are attached.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        return self.status().layers

    def status(self) -> FsStatus:
        """What is attached, and what it cost.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        response: pb.StatusResponse = self._call_or_fail(
            self._control.Status, pb.StatusRequest(), timeout_seconds=_STATUS_SECONDS
        )
        layers = (_served(layer, response.mountpoint) for layer in response.layers)
        return FsStatus(
            version=response.version,
            layers={layer.layer_digest: layer for layer in layers},
            fetching=_fetching(response.fetching),
            cache=_cache(response.cache) if response.HasField("cache") else None,
            durations=[
                Histogram(Operation(message.operation), tuple(message.counts), message.seconds)
                for message in response.durations
                if message.operation in _OPERATIONS
            ],
        )

    def pass_credentials(self, pulled: PulledCredentials) -> None:
        """Hands over the credentials that an image was pulled with.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        request = pb.PassCredentialsRequest(
            reference=str(pulled.reference),
            username=pulled.credentials.username,
            secret=pulled.credentials.secret,
            kind=pulled.credentials.kind.name,
        )
        method = self._control.PassCredentials
        self._call_or_fail(method, request, timeout_seconds=_STATUS_SECONDS)

    def reload(self) -> None:
        """Lets a server that runs read its settings again.

        Raises:
            FsServerError: there is no server, or it cannot use them.
        """
        try:
            self._control.Reload(pb.ReloadRequest(), timeout=_STATUS_SECONDS)
        except grpc.RpcError as error:
            raise FsServerError(self._reason(error)) from error

    def stop(self) -> None:
        """Asks the server to unmount everything and end. It may still be ending when this returns.

        Raises:
            FsServerError: there is no server, or it failed.
        """
        try:
            self._control.Stop(pb.StopRequest(), timeout=_STOP_SECONDS)
        except grpc.RpcError as error:
            raise FsServerError(self._reason(error)) from error

    def _check(self, layers: Collection[Digest], *, starts_container: bool) -> set[Digest]:
        request = pb.CheckRequest(
            layer_digests=[str(layer) for layer in layers], starts_container=starts_container
        )
        seconds = _STATUS_SECONDS + (MAX_WAIT_SECONDS if starts_container else 0)
        response: pb.CheckResponse = self._call_or_fail(
            self._control.Check, request, timeout_seconds=seconds
        )
        return {Digest.parse(text) for text in response.missing}

    def _call_or_fail(
        self, method: Callable[..., T], request: object, *, timeout_seconds: float
    ) -> T:
        try:
            return self._call(method, request, timeout_seconds=timeout_seconds)
        except grpc.RpcError as error:
            raise FsServerError(self._reason(error)) from error

    def _reason(self, error: grpc.RpcError) -> str:
        if error.code() is grpc.StatusCode.UNAVAILABLE and not is_listening(self._socket):
            return f"nobody listens on {self._socket}"  # gRPC says so, too, in many more words
        return error.details() or error.code().name

    def _call(self, method: Callable[..., T], request: object, *, timeout_seconds: float) -> T:
        """Calls; once more, if the server was gone and could be started again."""
        try:
            return method(request, timeout=timeout_seconds)
        except ValueError as error:  # what a closed channel answers
            raise FsServerError("this process is ending") from error
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or not self._ensure_running():
                raise
        return method(request, timeout=timeout_seconds, wait_for_ready=True)


def _served(layer: pb.LayerStatus, mountpoint: str) -> ServedLayer:
    digest = Digest.parse(layer.layer_digest)
    return ServedLayer(
        layer_digest=digest,
        present_bytes=layer.present_bytes,
        content_bytes=layer.content_bytes,
        blob_bytes=layer.blob_bytes,
        fetched_bytes=layer.fetched_bytes,
        requests=layer.requests,
        verify_failures=layer.verify_failures,
        last_error=layer.last_error,
        directory=f"{mountpoint}/{digest.file_name}",
        fetching=_fetching(layer.fetching),
    )


def _fetching(message: pb.FetchStatus) -> FetchStatistics:
    return FetchStatistics(
        demand=_transfer(message.demand),
        prefetch=_transfer(message.prefetch),
        background=_transfer(message.background),
        hits=message.hits,
        waits=message.waits,
        retries=message.retries,
        verify_failures=message.verify_failures,
    )


def _transfer(message: pb.Transfer) -> Transfer:
    return Transfer(message.requests, message.bytes)


def _cache(message: pb.CacheStatus) -> CacheStatistics:
    return CacheStatistics(
        used_bytes=message.used_bytes,
        limit_bytes=message.limit_bytes,
        evicted_bytes=message.evicted_bytes,
        shared_bytes=message.shared_bytes,
        unkept_writes=message.unkept_writes,
        disk_error=message.disk_error,
    )
