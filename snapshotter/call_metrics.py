"""How long containerd's calls take, and how they end: measured around every method of the server."""

import time
from collections.abc import Callable
from typing import Any, cast

import grpc

Observe = Callable[[str, str, float], None]
_Handler = Any  # grpc's own type of handlers is private


class CallMetrics(grpc.ServerInterceptor):
    """Tells the method, the code and the seconds of each unary call.

    Args:
        observe: Told when a call has been answered.
    """

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler],
        details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Wraps the method that is called; streams pass as they are, for their time is their reader's."""
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = details.method.rpartition("/")[2]

        def measured(request: object, context: grpc.ServicerContext) -> object:
            start = time.monotonic()
            try:
                return handler.unary_unary(request, context)
            finally:
                code = cast("Any", context).code() or grpc.StatusCode.OK
                self._observe(method, code.name, time.monotonic() - start)

        return grpc.unary_unary_rpc_method_handler(
            measured,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
