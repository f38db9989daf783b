"""Credentials that podman and CRI-O pass to an Additional Layer Store while they pull.

containers/image runs the helper program that registries.conf names (``additional-layer-store-auth-helper``) with JSON on its
standard input: by image, ``username``, ``password``, ``identityToken``. The helper hands it on over the store's socket, by the
method of stargz-store: ``Controller.AddCredential``, with the JSON as its request's only field.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import grpc
import msgspec
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue

from registry.errors import InvalidReferenceError
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference
from snapshotter.errors import FsServerError
from snapshotter.pulled_credentials import PulledCredentials
from snapshotter.unix_socket import is_listening

_log = logging.getLogger(__name__)
DEFAULT_SOCKET: Final = Path("/var/lib/stargz-store/store.sock")
_METHOD: Final = "/Controller/AddCredential"
_MAX_INPUT_BYTES: Final = 1 << 20
_MAX_IMAGES: Final = 1024
_SECONDS: Final = 10.0


class _Login(msgspec.Struct):
    username: str = ""
    password: str = ""
    identity_token: str = msgspec.field(default="", name="identityToken")


_Logins = Annotated[dict[str, _Login], msgspec.Meta(max_length=_MAX_IMAGES)]


def passed_credentials(data: bytes) -> Iterator[PulledCredentials]:
    """What the helper's input tells; images without credentials, and names that are none, are left out.

    Raises:
        ValueError: it is not the JSON that is meant.
    """
    logins = msgspec.json.decode(data, type=_Logins)
    for name, login in logins.items():
        try:
            reference = Reference.parse(name)
        except InvalidReferenceError:
            continue
        if login.identity_token:
            credentials = Credentials("", login.identity_token, SecretKind.IDENTITY_TOKEN)
        elif login.username:
            credentials = Credentials(login.username, login.password)
        else:
            continue
        yield PulledCredentials(reference, credentials)


class StoreController(grpc.GenericRpcHandler):
    """The service behind the store's socket.

    Args:
        learn: told all credentials; may raise ``FsServerError``.
    """

    def __init__(self, learn: Callable[[PulledCredentials], None]) -> None:
        self._learn = learn

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[BytesValue, Empty] | None":
        """The one method there is."""
        if handler_call_details.method != _METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._add,
            request_deserializer=BytesValue.FromString,
            response_serializer=Empty.SerializeToString,
        )

    def _add(self, request: BytesValue, context: grpc.ServicerContext) -> Empty:
        try:
            for passed in passed_credentials(request.value):
                self._learn(passed)
                fields = {"image": str(passed.reference)}
                _log.debug("credentials were passed", extra={"fields": fields})
        except (ValueError, RecursionError):  # what it says may hold secrets
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not the JSON that is expected")
        except FsServerError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return Empty()


def pass_on(data: bytes, socket: Path) -> None:
    """Hands the helper's input to the store that listens on a socket.

    Raises:
        FsServerError: nobody listens, or the store does not take it.
    """
    if not is_listening(socket):
        raise FsServerError(
            f"nobody listens on {socket}: start pyestargz store, or name its --addr"
        )
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call: grpc.UnaryUnaryMultiCallable[BytesValue, Empty] = channel.unary_unary(
            _METHOD,
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=Empty.FromString,
        )
        try:
            call(BytesValue(value=data), timeout=_SECONDS)
        except grpc.RpcError as error:
            raise FsServerError(f"{socket}: {error.details()}") from error


def main() -> None:
    """``stargz-store-helper [SOCKET]``: hands on what it reads."""
    socket = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SOCKET
    try:
        pass_on(sys.stdin.buffer.read(_MAX_INPUT_BYTES), socket)
    except FsServerError as error:
        sys.exit(f"stargz-store-helper: {error.reason}")
