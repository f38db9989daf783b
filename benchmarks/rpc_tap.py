"""A tap between containerd and a snapshotter: forwards every call unread, and remembers when it began and ended."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import grpc

_THREADS = 64
_DEADLINE_SECONDS = 600.0
_STREAMED = "List"  # of the snapshots service, the only one


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One call. Times are of ``time.monotonic``."""

    method: str
    code: str
    began: float
    ended: float


class RpcTap:
    """A server on ``socket`` that forwards to the one on ``target``; a context manager."""

    def __init__(self, target: Path, socket: Path) -> None:
        self.socket = socket
        self.calls: list[RpcCall] = []
        self._channel = grpc.insecure_channel(f"unix:{target}")
        self._server = grpc.server(ThreadPoolExecutor(_THREADS))
        self._server.add_generic_rpc_handlers((_Forwarder(self._forward),))
        self._server.add_insecure_port(f"unix:{socket}")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def _forward(self, method: str, request: bytes, context: grpc.ServicerContext) -> list[bytes]:
        metadata = [
            (key, value)
            for key, value in context.invocation_metadata()
            if key.startswith("containerd")
        ]
        name, began, code = method.rpartition("/")[2], time.monotonic(), "OK"
        call: Callable[..., Iterator[bytes]] = self._channel.unary_stream(method)
        try:
            return list(call(request, timeout=_DEADLINE_SECONDS, metadata=metadata))
        except grpc.RpcError as error:
            refused = cast("grpc.Call", error)
            code = refused.code().name
            context.abort(refused.code(), refused.details() or "")
            raise
        finally:
            self.calls.append(RpcCall(name, code, began, time.monotonic()))


class _Forwarder(grpc.GenericRpcHandler):
    def __init__(self, forward: Callable[[str, bytes, grpc.ServicerContext], list[bytes]]) -> None:
        self._forward = forward

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        method = handler_call_details.method

        def forward(request: bytes, context: grpc.ServicerContext) -> list[bytes]:
            return self._forward(method, request, context)

        if method.endswith(f"/{_STREAMED}"):
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: iter(forward(request, context))
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: forward(request, context)[0]
        )
