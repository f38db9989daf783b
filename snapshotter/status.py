"""Domain errors as gRPC codes: the one table, and the one boundary where it is applied."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import grpc

from snapshotter.errors import (
    ConfigError,
    FsServerError,
    IdMappingError,
    InvalidFilterError,
    InvalidLabelError,
    InvalidRequestError,
    LayerUnavailableError,
    RecordsError,
    SnapshotExistsError,
    SnapshotNotFoundError,
    SnapshotStateError,
    StartupError,
)

_log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (SnapshotNotFoundError, grpc.StatusCode.NOT_FOUND),
    (SnapshotExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (SnapshotStateError, grpc.StatusCode.FAILED_PRECONDITION),
    (InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (InvalidLabelError, grpc.StatusCode.INVALID_ARGUMENT),
    (InvalidFilterError, grpc.StatusCode.INVALID_ARGUMENT),
    (IdMappingError, grpc.StatusCode.FAILED_PRECONDITION),
    (LayerUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (FsServerError, grpc.StatusCode.UNAVAILABLE),
    # These are raised before anything is served.
    (RecordsError, grpc.StatusCode.FAILED_PRECONDITION),
    (ConfigError, grpc.StatusCode.FAILED_PRECONDITION),
    (StartupError, grpc.StatusCode.FAILED_PRECONDITION),
)


def status_of(error: BaseException) -> grpc.StatusCode | None:
    """The code of a foreseen error; None for an error nobody foresaw."""
    for kind, code in STATUS:
        if isinstance(error, kind):
            return code
    return None


@contextmanager
def answering(context: grpc.ServicerContext, method: str) -> Iterator[None]:
    """Ends the call with the right code when what is done within fails."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the RPC boundary: whatever it is, the caller gets an answer
        _abort(context, method, error)


def _abort(context: grpc.ServicerContext, method: str, error: Exception) -> None:
    code = status_of(error)
    fields = {"method": method, "error": str(error)}
    if code is not None:
        _log.debug("request refused", extra={"fields": {**fields, "code": code.name}})
        context.abort(code, str(error))
    request = uuid4().hex[:12]
    _log.error("request failed", exc_info=error, extra={"fields": {**fields, "request": request}})
    reason = f"{type(error).__name__}: {error} (request {request} in the log)"
    context.abort(grpc.StatusCode.INTERNAL, reason)
