import grpc
import pytest

from snapshotter.commands.exit_codes import ExitCode, exit_code_of
from snapshotter.containerd_errors import (
    ContainerdError,
    ContainerdNotFoundError,
    ContainerdUnreachableError,
    errors_of_containerd,
)


class _Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (grpc.StatusCode.NOT_FOUND, ContainerdNotFoundError, ExitCode.NOT_FOUND),
        (grpc.StatusCode.UNAVAILABLE, ContainerdUnreachableError, ExitCode.UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ContainerdUnreachableError, ExitCode.UNREACHABLE),
        (grpc.StatusCode.INTERNAL, ContainerdError, ExitCode.FAILED),
    ],
)
def test_what_grpc_says_becomes_an_error_with_an_exit_code(
    code: grpc.StatusCode, kind: type[ContainerdError], exit_code: ExitCode
) -> None:
    with pytest.raises(ContainerdError) as caught, errors_of_containerd("/c.sock", "find it"):
        raise _Failed(code, "the\nreason")
    assert type(caught.value) is kind
    assert exit_code_of(caught.value) is exit_code
    assert str(caught.value).startswith("containerd at /c.sock cannot find it (the reason): ")
    assert not caught.value.exists_already


def test_what_was_there_before() -> None:
    with pytest.raises(ContainerdError, match="ALREADY") as caught, errors_of_containerd("/c", "x"):
        raise _Failed(grpc.StatusCode.ALREADY_EXISTS, None)
    assert caught.value.exists_already


def test_a_stream_that_ends_too_early() -> None:
    with pytest.raises(ContainerdError, match="stopped"), errors_of_containerd("/c.sock", "x"):
        raise EOFError("it stopped listening")
