"""Who compiles: another process, so that readers and the network keep the interpreter, or threads of this one."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec
import trio

from estargz.errors import TocError
from fs.compilation import Compilation
from fs.compiler_process import Outcome
from fs.errors import CompilerLostError

_log = logging.getLogger(__name__)
_END_SECONDS = 5.0


class Compiler(Protocol):
    """Compiles layers. ``at_once`` of them are worth compiling at the same time."""

    at_once: int

    async def compile(self, compilation: Compilation, raw_toc: bytes) -> float:
        """Makes a layer's directory of a verified TOC, and tells how many seconds of that its JSON took.

        Raises:
            TocError: an entry breaks a rule; it is named.
            CompilerLostError: whoever compiled it is gone.
            OSError: the disk is full or broken.
        """
        ...


class ThreadCompiler:
    """Compiles in threads, of which only one at a time has the interpreter."""

    at_once = 1

    async def compile(self, compilation: Compilation, raw_toc: bytes) -> float:
        """See ``Compiler``."""
        return await trio.to_thread.run_sync(compilation.carry_out, raw_toc)


class ProcessCompiler:
    """Compiles in children of another process; in threads once that is gone. An async context manager, which ends it.

    Args:
        root: where layers are kept, for those who look at processes.
    """

    def __init__(self, root: Path) -> None:
        self.at_once = os.cpu_count() or 1
        self._root = root
        self._is_gone = False
        self._instead = ThreadCompiler()
        self._socket: socket.socket
        self._process: subprocess.Popen[bytes]

    def __repr__(self) -> str:
        return f"<ProcessCompiler {'gone' if self._is_gone else self._process.pid}>"

    async def __aenter__(self) -> Self:
        await trio.to_thread.run_sync(self._start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._end)

    async def compile(self, compilation: Compilation, raw_toc: bytes) -> float:
        """See ``Compiler``."""
        try:
            answer = await trio.to_thread.run_sync(self._ask, compilation, raw_toc)
        except ConnectionError as error:
            if not self._is_gone:
                self._is_gone = True
                fields = {"error": str(error)}
                _log.warning("compiler gone: layers are compiled here", extra={"fields": fields})
            return await self._instead.compile(compilation, raw_toc)
        async with trio.lowlevel.FdStream(answer) as pieces:
            return _parse_seconds(b"".join([piece async for piece in pieces]))

    def _start(self) -> None:
        self._socket, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            command = (sys.executable, "-m", "fs.compiler_process", asked.fileno(), self._root)
            self._process = subprocess.Popen(  # noqa: S603 - our own program, without a shell
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(asked.fileno(),),
                start_new_session=True,
            )

    def _end(self) -> None:
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, compilation: Compilation, raw_toc: bytes) -> int:
        """Hands a compilation over; gives the descriptor to read the outcome from."""
        answer, answering = os.pipe()
        try:
            with os.fdopen(os.memfd_create("toc"), "wb") as toc:
                toc.write(raw_toc)
                toc.seek(0)
                message = msgspec.json.encode(compilation)
                socket.send_fds(self._socket, [message], [toc.fileno(), answering])
        except OSError:
            os.close(answer)
            raise
        finally:
            os.close(answering)
        return answer


def _parse_seconds(answer: bytes) -> float:
    if not answer:
        raise CompilerLostError
    outcome = msgspec.json.decode(answer, type=Outcome)
    if outcome.toc_error is not None:
        raise TocError(*outcome.toc_error)
    if outcome.os_error is not None:
        raise OSError(*outcome.os_error)
    return outcome.parse_seconds
