"""What can go wrong with the images of a running containerd.

ContentError (registry.errors)
 +- ContainerdError                  containerd refused, or failed
     +- ContainerdNotFoundError      it has no such image or content
     +- ContainerdUnreachableError   nobody answers on its socket
"""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import grpc

from registry.errors import ContentError, one_line


class ContainerdError(ContentError):
    """A call to containerd failed.

    Attributes:
        socket: where containerd was asked.
        what: what it should have done.
        reason: what it said.
        exists_already: whether that was done before.
    """

    advice: ClassVar[str] = "look at its log"

    def __init__(
        self, socket: str, what: str, reason: str, *, exists_already: bool = False
    ) -> None:
        self.socket = socket
        self.what = one_line(what)
        self.reason = one_line(reason)
        self.exists_already = exists_already
        super().__init__(socket, self.what, self.reason)

    def __str__(self) -> str:
        return f"containerd at {self.socket} cannot {self.what} ({self.reason}): {self.advice}"


class ContainerdNotFoundError(ContainerdError):
    """containerd has no such image, or not this part of it."""

    absent = True
    advice = (
        "check the name and --namespace; of images that were pulled lazily, or for one platform, it has "
        "not everything: convert from the registry, or choose with --platform"
    )


class ContainerdUnreachableError(ContainerdError):
    """Nobody answers on containerd's socket, or not in time."""

    advice = "check that it runs, and name its socket with --containerd-address"


@contextlib.contextmanager
def errors_of_containerd(socket: str, what: str) -> Iterator[None]:
    """Turns what gRPC raises in the block into errors of this module."""
    try:
        yield
    except grpc.RpcError as error:
        raise _error(error, socket, what) from error
    except EOFError as error:
        raise ContainerdError(socket, what, str(error)) from error


def _error(error: grpc.RpcError, socket: str, what: str) -> ContainerdError:
    code, reason = error.code(), error.details() or error.code().name
    match code:
        case grpc.StatusCode.NOT_FOUND:
            return ContainerdNotFoundError(socket, what, reason)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return ContainerdUnreachableError(socket, what, reason)
        case _:
            exists_already = code is grpc.StatusCode.ALREADY_EXISTS
            return ContainerdError(socket, what, reason, exists_already=exists_already)
