"""One HTTP transfer by libcurl, as the task sees it that waits for it: the headers, then the body as it arrives.

libcurl calls back when it has or wants bytes; this keeps what came until the task takes it, and stops libcurl where either side
is too slow. ``registry.transfers`` makes libcurl go on. Only these two modules know which HTTP library there is.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import TracebackType
from typing import Final, Self

import pycurl
import trio

# What has arrived and nobody has taken yet; above that, the connection is not read.
MAX_BUFFERED_BYTES: Final = 512 << 10
# How often, in the time that a connection may be silent, somebody looks whether it is.
SILENCE_CHECKS: Final = 4
_FIRST_FINAL_STATUS: Final = 200


class Problem(Enum):
    """Why a transfer failed."""

    CUT = "the connection ended early, or what came was not HTTP"
    CONNECTING_SLOW = "connecting took too long"
    SILENT = "the connection was silent for too long"
    UNTRUSTED = "the server could not prove who it is"
    UNUSABLE_URL = "that is no URL to go to"
    UNREACHABLE = "anything else of the network"


class TransferError(Exception):
    """A transfer failed; the text says why. Stays inside this package."""

    def __init__(self, problem: Problem, reason: str) -> None:
        self.problem = problem
        super().__init__(reason)


class Transfer:
    """A transfer under way; a context manager, belongs to one task.

    Attributes:
        status: the HTTP status, once the headers are there.
    """

    def __init__(
        self, easy: pycurl.Curl, end: Callable[[pycurl.Curl], None], *, silence_seconds: float
    ) -> None:
        self.status = 0
        self.silence_seconds = silence_seconds
        self._easy = easy
        self._end = end
        self._silent_checks = 0
        self._header_lines: list[bytes] = []
        self._headers: dict[str, str] | None = None
        self._has_headers = False
        self._received: list[bytes] = []
        self._received_bytes = 0
        self._receiving_paused = False
        self._unsent = memoryview(b"")
        self._sent_all = False
        self._sending_paused = False
        self._finished = False
        self._closed = False
        self._error: TransferError | None = None
        self._activity: trio.Event | None = None

    def __repr__(self) -> str:
        state = "finished" if self._finished else "under way"
        return f"<Transfer {self.status or 'no status'}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, their names in lower case; several of one name are joined with commas."""
        if self._headers is None:
            self._headers = _parse_headers(self._header_lines)
        return self._headers

    async def send(self, piece: bytes) -> bool:
        """Sends a piece of the request's body; whether it was wanted: not where the response came before it.

        Raises:
            TransferError: the network failed, or was silent for too long.
        """
        self._unsent = memoryview(piece)
        self._resume_sending()
        while self._unsent and not self._has_headers:
            await self._wait()
        return not self._unsent

    def end_body(self) -> None:
        """Says that there are no more pieces."""
        self._sent_all = True
        self._resume_sending()

    async def wait_headers(self) -> None:
        """Waits until status and headers are there.

        Raises:
            TransferError: the network failed, or was silent for too long.
        """
        while not self._has_headers:
            await self._wait()

    async def receive(self) -> bytes:
        """What has arrived of the body since the last time, waiting for it; nothing at its end.

        Raises:
            TransferError: the body was cut, or the network silent for too long.
        """
        while not self._received:
            if self._finished and self._error is None:
                return b""
            await self._wait()
        data = self._received[0] if len(self._received) == 1 else b"".join(self._received)
        self._received.clear()
        self._received_bytes = 0
        if self._receiving_paused:
            self._receiving_paused = False
            self._go_on()
        return data

    def close(self) -> None:
        """Ends the transfer; its connection is used again where the response had come to its end."""
        if not self._closed:
            self._closed = True
            self._end(self._easy)
            self._received.clear()  # the handle is kept, and keeps us
            self.finish(TransferError(Problem.CUT, "it was closed"))

    def finish(self, error: TransferError | None) -> None:
        """Says that libcurl has done with it; the first word counts."""
        if not self._finished:
            self._finished = True
            self._error = error
            self._wake()

    def check_silence(self) -> None:
        """Gives the transfer up where nothing has happened for too long while somebody waited for it; asked in equal steps."""
        if self._activity is None:
            return
        self._silent_checks += 1
        if self._silent_checks > SILENCE_CHECKS:
            self.finish(TransferError(Problem.SILENT, Problem.SILENT.value))

    def on_send(self, max_bytes: int) -> bytes | int:
        """For libcurl: the body's next bytes; nothing at its end."""
        if not self._unsent:
            if self._sent_all:
                return b""
            self._sending_paused = True
            return pycurl.READFUNC_PAUSE
        piece = bytes(self._unsent[:max_bytes])
        self._unsent = self._unsent[max_bytes:]
        self._wake()
        return piece

    def on_header(self, line: bytes) -> None:
        """For libcurl: a line of the headers; interim responses (1xx) come before the one that counts."""
        if self._has_headers:
            return  # a trailer: whatever it says, it is too late
        self._header_lines.append(line)
        if line.startswith(b"HTTP/"):
            self.status = int(line.split(maxsplit=2)[1])
            self._header_lines.clear()
        elif not line.strip() and self.status >= _FIRST_FINAL_STATUS:
            self._has_headers = True
            self._wake()

    def on_body(self, data: bytes) -> int | None:
        """For libcurl: a piece of the body, which it keeps where we have too much already."""
        if self._received_bytes >= MAX_BUFFERED_BYTES:
            self._receiving_paused = True
            return pycurl.WRITEFUNC_PAUSE
        self._received.append(data)
        self._received_bytes += len(data)
        self._wake()
        return None

    async def _wait(self) -> None:
        """Waits until anything happens."""
        if self._finished:
            # Without an error it has ended well, but before whatever is waited for: the headers.
            raise self._error or TransferError(
                Problem.CUT, "the response has no end of its headers"
            )
        self._silent_checks = 0
        self._activity = trio.Event()
        await self._activity.wait()

    def _wake(self) -> None:
        if self._activity is not None:
            self._activity.set()
            self._activity = None

    def _resume_sending(self) -> None:
        if self._sending_paused:
            self._sending_paused = False
            self._go_on()

    def _go_on(self) -> None:
        if not self._finished:
            self._easy.pause(pycurl.PAUSE_CONT)


def _parse_headers(lines: Iterable[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


# Where the system's own words say more than libcurl's.
_SYSTEM_CALLS_FAILED: Final = frozenset(
    {pycurl.E_COULDNT_CONNECT, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR}
)
_PROBLEMS: Final = {
    **dict.fromkeys(
        (
            pycurl.E_PARTIAL_FILE,
            pycurl.E_GOT_NOTHING,
            pycurl.E_FTP_WEIRD_SERVER_REPLY,  # libcurl's CURLE_WEIRD_SERVER_REPLY, under its old name
            pycurl.E_UNSUPPORTED_PROTOCOL,
            pycurl.E_HTTP2,
        ),
        Problem.CUT,
    ),
    pycurl.E_OPERATION_TIMEDOUT: Problem.CONNECTING_SLOW,
    pycurl.E_PEER_FAILED_VERIFICATION: Problem.UNTRUSTED,
    pycurl.E_SSL_ISSUER_ERROR: Problem.UNTRUSTED,
    pycurl.E_URL_MALFORMAT: Problem.UNUSABLE_URL,
}


def describe_failure(easy: pycurl.Curl, number: int, reason: str) -> TransferError:
    """The error for libcurl's result ``number``, with what the system said about it."""
    problem = _PROBLEMS.get(number, Problem.UNREACHABLE)
    if problem is Problem.CONNECTING_SLOW:
        return TransferError(problem, problem.value)
    errno = easy.getinfo(pycurl.OS_ERRNO) if number in _SYSTEM_CALLS_FAILED else 0
    return TransferError(problem, f"{reason}: {os.strerror(errno)}" if errno else reason)
