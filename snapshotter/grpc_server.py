"""The socket that containerd connects to: the snapshots service, and the health service of gRPC."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from snapshotter.call_metrics import CallMetrics
from snapshotter.cri_proxy import MESSAGE_OPTIONS
from snapshotter.errors import StartupError
from snapshotter.proto import snapshots_pb2, snapshots_pb2_grpc
from snapshotter.service import SnapshotsService
from snapshotter.unix_socket import is_listening

_GRACE_SECONDS = 5.0
_SERVICE = snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"].full_name
_SERVING = health_pb2.HealthCheckResponse.SERVING


@contextmanager
def serving_containerd(
    address: Path,
    service: SnapshotsService,
    threads: ThreadPoolExecutor,
    observe: Callable[[str, str, float], None],
    more: Sequence[grpc.GenericRpcHandler] = (),
) -> Iterator[None]:
    """Serves on a unix socket that only its owner may open.

    Args:
        address: The socket; one that a former process left is replaced.
        service: What answers containerd.
        threads: Where calls are answered; outlives the server.
        observe: Told the method, the code and the seconds of each call.
        more: What else is served there.

    Raises:
        StartupError: another process listens there, or nobody can.
    """
    server = grpc.server(threads, interceptors=[CallMetrics(observe)], options=MESSAGE_OPTIONS)
    snapshots_pb2_grpc.add_SnapshotsServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    probed = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(probed, server)
    for name in ("", _SERVICE):
        probed.set(name, _SERVING)
    server.add_generic_rpc_handlers(tuple(more))
    with _listening(address, server):
        try:
            yield
        finally:
            probed.enter_graceful_shutdown()


@contextmanager
def serving_alone(
    address: Path, handler: grpc.GenericRpcHandler, threads: ThreadPoolExecutor
) -> Iterator[None]:
    """Serves one handler on a socket of its own.

    Raises:
        StartupError: another process listens there, or nobody can.
    """
    server = grpc.server(threads, options=MESSAGE_OPTIONS)
    server.add_generic_rpc_handlers((handler,))
    with _listening(address, server):
        yield


@contextmanager
def _listening(address: Path, server: grpc.Server) -> Iterator[None]:
    if is_listening(address):
        raise StartupError(
            f"another process listens on {address}", "stop it, or choose another --address"
        )
    if not address.parent.exists():
        address.parent.mkdir(mode=0o700, parents=True)
    address.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{address}")
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {address}", str(error)) from error
    finally:
        os.umask(mask)
    server.start()
    try:
        yield
    finally:
        server.stop(_GRACE_SECONDS).wait()
        address.unlink(missing_ok=True)
