"""CRI's image service, handed on to containerd: on the way, the credentials in pulls are learnt.

The kubelet gives a pod's image pull secrets to nobody but the image service, so it is told that this is one
(``--image-service-endpoint``). Messages pass as bytes, and every method passes, also those that CRI gets later.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import grpc

from snapshotter.errors import FsServerError
from snapshotter.pulled_credentials import PulledCredentials, pulled_credentials

_log = logging.getLogger(__name__)
_SERVICES: Final = ("/runtime.v1.ImageService/", "/runtime.v1alpha2.ImageService/")
_PULL: Final = "PullImage"
# The limit of containerd's own client and server.
_MAX_MESSAGE_BYTES: Final = 16 << 20
MESSAGE_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
)
_CHANNEL_OPTIONS: Final = (
    *MESSAGE_OPTIONS,
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.default_authority", "localhost"),
)
_YEARS_SECONDS: Final = 1e9
# Belongs to one connection, not to the call.
_HOP_METADATA: Final = frozenset({"user-agent", "host", "te", "content-type"})

Learn = Callable[[PulledCredentials], None]


class CriProxy(grpc.GenericRpcHandler):
    """Hands calls on. A context manager: leaving it closes the connection.

    Args:
        backend: the socket of the real image service, containerd's.
        learn: told the credentials of every pull, before the pull begins; may raise ``FsServerError``.
    """

    def __init__(self, backend: Path, learn: Learn) -> None:
        self._backend = backend
        self._channel = grpc.insecure_channel(f"unix:{backend}", options=_CHANNEL_OPTIONS)
        self._learn = learn

    def __repr__(self) -> str:
        return f"<CriProxy to {self._backend}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of one call; None for what is no method of the image service."""
        method = details.method
        if not method.startswith(_SERVICES):
            return None
        pulls = method.rpartition("/")[2] == _PULL

        def hand_on(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            read = self._learning(requests) if pulls else requests
            yield from self._hand_on(method, read, context)

        return grpc.stream_stream_rpc_method_handler(hand_on)

    def _learning(self, requests: Iterable[bytes]) -> Iterator[bytes]:
        for request in requests:
            found = pulled_credentials(request)
            if found is not None:
                try:
                    self._learn(found)
                except FsServerError as error:
                    fields = {"image": str(found.reference), "error": str(error)}
                    _log.warning("credentials of a pull are lost", extra={"fields": fields})
            yield request

    def _hand_on(
        self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        make: Any = self._channel.stream_stream(method)
        told = (pair for pair in context.invocation_metadata() if pair[0] not in _HOP_METADATA)
        timeout = _bounded(context.time_remaining())
        call = make(requests, timeout=timeout, metadata=tuple(told))
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            failed = cast("grpc.Call", error)
            context.set_trailing_metadata(tuple(failed.trailing_metadata() or ()))
            context.abort(failed.code(), failed.details() or "")


def _bounded(seconds: float | None) -> float | None:
    """No deadline is told as one that never comes."""
    return None if seconds is None or seconds > _YEARS_SECONDS else max(seconds, 0.0)
