"""The data server: the second FUSE file system, which the kernel's own EROFS mounts read from.

It speaks to ``/dev/fuse`` itself (``fs.erofs.fuse_protocol``). One thread takes requests; what is present it
answers at once, by a ``pread``, without trio. What is missing it hands to the loop and forgets: the
task there fetches, and writes the answer. So a slow registry never holds up who reads what is here.

The connection outlives this process if somebody else holds the descriptor too: requests then wait for
the next one, which is told what was negotiated and asks for a repetition of what was left unanswered.
"""

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from fs.durations import Operation
from fs.erofs import data_space
from fs.erofs.data_directory import DataDirectory, DataFile, Read, node_of
from fs.erofs.fuse_protocol import (
    REQUEST_BUFFER_BYTES,
    MalformedRequestError,
    Negotiated,
    Opcode,
    Request,
    dump_answer,
    dump_error,
    dump_init,
    dump_resend,
    negotiate,
    parse_interrupt,
    parse_request,
)
from fs.errors import errno_of
from fs.layer import Layer
from registry.digest import Digest

_log = logging.getLogger(__name__)
_MAX_READ_BYTES = 1 << 20  # what the kernel allows at the most
# Reads that wait for the network must not keep others from being asked for.
_MAX_BACKGROUND = 4096
# The request was interrupted, or its file system is gone: nobody waits for the answer.
_NOBODY_WAITS = {errno.ENOENT, errno.ENODEV, errno.ECONNABORTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataServerSettings:
    """How long a reader waits at the most before it is told EIO."""

    deadline_seconds: float = 120.0


class DataServer:
    """Answers the kernel on one connection. An async context manager: it serves for the time of a ``with`` block.

    Args:
        descriptor: The connection, ``/dev/fuse`` opened and mounted. It stays the caller's.
        negotiated: What a former process agreed on with the kernel; None for a new connection.
        find: Gives the layer of a node number that this process has not served yet.
        settings: How long to wait.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        negotiated: Negotiated | None,
        find: Callable[[int], Awaitable[Layer]],
        settings: DataServerSettings | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._find = find
        self._settings = settings or DataServerSettings()
        self._directory = DataDirectory()
        self._layers: dict[int, Layer] = {}
        self._waiting: dict[int, trio.CancelScope] = {}
        self._negotiated = negotiated
        self._ready = trio.Event()
        self._stopping = False
        self._wake = os.eventfd(0)
        self._nursery_manager = trio.open_nursery()
        self._nursery: trio.Nursery
        self._token: trio.lowlevel.TrioToken
        self._thread = threading.Thread(target=self._serve, name="data-server")

    def __repr__(self) -> str:
        return f"<DataServer {self._directory!r}, {len(self._waiting)} reads wait>"

    async def __aenter__(self) -> Self:
        self._nursery = await self._nursery_manager.__aenter__()
        self._token = trio.lowlevel.current_trio_token()
        os.set_blocking(self._descriptor, False)
        if self._negotiated is not None:
            self._ready.set()
            self._write(dump_resend())
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)
        os.close(self._wake)
        # What waits is not answered: it is the successor's, or its file system is gone.
        self._nursery.cancel_scope.cancel()
        await self._nursery_manager.__aexit__(kind, error, trace)

    async def wait_negotiated(self) -> Negotiated:
        """What was agreed on with the kernel, as soon as it is."""
        await self._ready.wait()
        assert self._negotiated is not None  # noqa: S101 - set before the event
        return self._negotiated

    def serve(self, layer: Layer) -> None:
        """Shows the data space of a layer."""
        file = DataFile(layer.digest, layer.image.data_bytes)
        self._layers[file.node] = layer
        self._directory.add(file)

    def forget(self, digest: Digest) -> None:
        """Shows a layer no more; what is still read of it fails."""
        self._layers.pop(node_of(digest), None)
        self._directory.remove(digest)

    # In the thread

    def _serve(self) -> None:
        """Takes requests until it is told to stop, or the file system is gone."""
        poller = select.poll()
        for descriptor in (self._descriptor, self._wake):
            poller.register(descriptor, select.POLLIN)
        buffer = bytearray(REQUEST_BUFFER_BYTES)
        while not self._stopping:
            try:
                length = os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                poller.poll()
            except OSError as error:
                if error.errno == errno.ENODEV:
                    _log.info("the data file system was unmounted")
                    return
                if error.errno != errno.ENOENT:  # that one was interrupted before it was read
                    self._token.run_sync_soon(self._nursery.start_soon, self._fail, error)
                    return
            else:
                self._take(bytes(buffer[:length]))

    def _take(self, message: bytes) -> None:
        try:
            request = parse_request(message)
        except MalformedRequestError as error:
            _log.warning("malformed FUSE request", extra={"fields": {"error": str(error)}})
            return
        try:
            self._handle(request)
        except Exception as error:  # noqa: BLE001 - the FUSE boundary: a thread that ends leaves all readers waiting
            self._write(dump_error(request.unique, _errno_of(error, request)))

    def _handle(self, request: Request) -> None:
        match request.opcode:
            case Opcode.INIT:
                self._negotiated = negotiate(request.body)
                body = dump_init(
                    self._negotiated,
                    max_read_bytes=_MAX_READ_BYTES,
                    max_background=_MAX_BACKGROUND,
                )
                self._write(dump_answer(request.unique, len(body)), body)
                self._token.run_sync_soon(self._ready.set)
            case Opcode.INTERRUPT:
                self._token.run_sync_soon(self._interrupt, parse_interrupt(request.body))
            case _:
                answer = self._directory.answer(request)
                if isinstance(answer, Read):
                    self._read(answer)
                elif answer is not None:
                    self._write(answer)

    def _read(self, read: Read) -> None:
        begin = time.perf_counter()
        layer = self._layers.get(read.node)
        content = None if layer is None else data_space.read_present(layer, read.range)
        if layer is None or content is None:
            self._token.run_sync_soon(self._start, read, begin)
        else:
            self._write(dump_answer(read.unique, len(content)), content)
            layer.durations.observe(Operation.READ, time.perf_counter() - begin)

    # In the loop

    def _start(self, read: Read, begin: float) -> None:
        if not self._stopping:
            self._nursery.start_soon(self._fetch_and_answer, read, begin)

    async def _fetch_and_answer(self, read: Read, begin: float) -> None:
        with trio.CancelScope() as interrupted:
            self._waiting[read.unique] = interrupted
            try:
                with trio.fail_after(self._settings.deadline_seconds):
                    layer = self._layers.get(read.node) or await self._find(read.node)
                    content = await data_space.read(layer, read.range)
            except Exception as error:  # noqa: BLE001 - the FUSE boundary: an escape would end the server
                self._write(dump_error(read.unique, _errno_of(error, read)))
            else:
                self._write(dump_answer(read.unique, len(content)), content)
                layer.durations.observe(Operation.READ, time.perf_counter() - begin)
            finally:
                del self._waiting[read.unique]
        if interrupted.cancelled_caught:
            self._write(dump_error(read.unique, errno.EINTR))

    async def _fail(self, error: OSError) -> None:
        """Ends the server: nobody takes requests any more, and a successor can."""
        raise error

    def _interrupt(self, unique: int) -> None:
        """Ends a wait; a read that is answered by now is none of them."""
        if unique in self._waiting:
            self._waiting[unique].cancel()

    def _write(self, *parts: bytes) -> None:
        """Answers, from either thread: a write is a whole answer."""
        try:
            os.writev(self._descriptor, parts)
        except OSError as error:
            if error.errno not in _NOBODY_WAITS:
                raise


def _errno_of(error: Exception, asked: object) -> int:
    number = errno_of(error)
    if number is None:
        _log.error("bug: unforeseen error in %s", asked, exc_info=error)
    return number or errno.EIO
