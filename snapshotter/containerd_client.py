"""A running containerd, as images are read from it and written into it: content, names and leases, over its gRPC socket.

Promises:

* Content appears under its digest after containerd has checked it, whole or not at all.
* While the client is open, a lease keeps what was written and what was asked to be held, as ``ctr`` does it; when it is
  closed, what no image refers to is containerd's garbage. Should this process die, the lease ends by itself.
* Cancelling any call leaves the client usable. A containerd that does not answer is an error, not a wait without end.

Calls block, so they run in threads; only this module and ``containerd_errors`` know gRPC.
"""

import contextlib
import datetime as dt
import itertools
import queue
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
import trio

from registry.digest import Digest
from snapshotter.containerd_errors import (
    ContainerdError,
    ContainerdNotFoundError,
    ContainerdUnreachableError,
    errors_of_containerd,
)
from snapshotter.proto import (
    content_pb2,
    content_pb2_grpc,
    descriptor_pb2,
    images_pb2,
    images_pb2_grpc,
    leases_pb2,
    leases_pb2_grpc,
)

PIECE_BYTES: Final = 1 << 20

# A commit makes a whole blob durable before it answers.
_DEADLINE_SECONDS: Final = 300.0
_CLOSING_SECONDS: Final = 10.0
_LEASE_HOURS: Final = 24
_CHANNEL_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
_EXPIRY_LABEL: Final = "containerd.io/gc.expire"
_Metadata = tuple[tuple[str, str], ...]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerdAddress:
    """One namespace of one containerd; the socket is a path."""

    socket: str
    namespace: str


class ContainerdClient:
    """Talks to one namespace of containerd; an async context manager on trio.

    All methods raise ``ContainerdError`` and its subclasses.
    """

    def __init__(self, address: ContainerdAddress) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(f"unix:{address.socket}", options=_CHANNEL_OPTIONS)
        self._content: Any = content_pb2_grpc.ContentStub(self._channel)  # type: ignore[no-untyped-call]
        self._images: Any = images_pb2_grpc.ImagesStub(self._channel)  # type: ignore[no-untyped-call]
        self._leases: Any = leases_pb2_grpc.LeasesStub(self._channel)  # type: ignore[no-untyped-call]
        self._leasing = trio.Lock()
        self._lease = ""
        self._writes = itertools.count(1)

    def __repr__(self) -> str:
        lease = self._lease or "no lease"
        return f"<ContainerdClient {self.address.socket} {self.address.namespace}, {lease}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._lease:
                await self._end_lease()
        except ContainerdError:
            # It ends by itself; what went wrong before is the better news.
            if error is None:
                raise
        finally:
            self._channel.close()

    async def find_image(self, name: str) -> descriptor_pb2.Descriptor:
        """What a name stands for.

        Raises:
            ContainerdNotFoundError: there is no such image.
        """
        request = images_pb2.GetImageRequest(name=name)
        response = await self._call(self._images.Get, request, f"find image {name}")
        target: descriptor_pb2.Descriptor = response.image.target
        return target

    async def name_image(self, name: str, target: descriptor_pb2.Descriptor) -> None:
        """Gives a name to a manifest or an index that is there; an image that had it keeps its labels."""
        image = images_pb2.Image(name=name, target=target)
        what = f"name image {name}"
        request = images_pb2.UpdateImageRequest(image=image)
        request.update_mask.paths.append("target")
        try:
            await self._call(self._images.Update, request, what)
        except ContainerdNotFoundError:
            await self._call(self._images.Create, images_pb2.CreateImageRequest(image=image), what)

    async def hold(self, digest: Digest) -> None:
        """Keeps content, and what its labels refer to, until the client is closed; it need not be there."""
        resource = leases_pb2.Resource(id=str(digest), type="content")
        request = leases_pb2.AddResourceRequest(id=await self._leased(), resource=resource)
        await self._call(self._leases.AddResource, request, f"keep {digest}")

    async def blob_bytes(self, digest: Digest) -> int | None:
        """The size of content; None where there is none."""
        try:
            return await self.size_of(digest)
        except ContainerdNotFoundError:
            return None

    async def size_of(self, digest: Digest) -> int:
        """The size of content.

        Raises:
            ContainerdNotFoundError: there is none.
        """
        request = content_pb2.InfoRequest(digest=str(digest))
        response = await self._call(self._content.Info, request, f"find {digest}")
        size: int = response.info.size
        return size

    async def label(self, digest: Digest, labels: Mapping[str, str]) -> None:
        """Sets labels of content; others stay."""
        request = content_pb2.UpdateRequest(
            info=content_pb2.Info(digest=str(digest), labels=labels)
        )
        request.update_mask.paths.extend(f"labels.{name}" for name in labels)
        await self._call(self._content.Update, request, f"label {digest}")

    def read(
        self, digest: Digest, *, start: int = 0, length: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams ``length`` bytes of content, or all from ``start``; errors come out of the iteration."""
        request = content_pb2.ReadContentRequest(digest=str(digest), offset=start, size=length)
        return contextlib.aclosing(self._read(request))

    async def write(
        self,
        digest: Digest,
        size: int,
        pieces: Callable[[int], AsyncIterator[bytes]],
        *,
        labels: Mapping[str, str],
    ) -> None:
        """Stores content, unless it is there; either way it is held, and has the labels.

        Args:
            digest: its digest; containerd checks it.
            size: its size in bytes.
            pieces: makes an iterator over the content from an offset on.
            labels: what it is labelled with.
        """
        what = f"store {digest}"
        await self.hold(digest)
        writing = _Writing(self._content.Write, await self._metadata_with_lease())
        try:
            # A name of its own: neither who writes the same content now nor who failed to is in our way.
            request = content_pb2.WriteContentRequest(
                action=content_pb2.STAT,
                ref=f"{self._lease}-{next(self._writes)}",
                total=size,
                expected=str(digest),
            )
            offset = (await self._in_thread(writing.ask, request, what)).offset
            async for piece in pieces(offset):
                request = content_pb2.WriteContentRequest(
                    action=content_pb2.WRITE, offset=offset, data=piece
                )
                offset = (await self._in_thread(writing.ask, request, what)).offset
            request = content_pb2.WriteContentRequest(
                action=content_pb2.COMMIT,
                offset=offset,
                total=size,
                expected=str(digest),
                labels=labels,
            )
            await self._in_thread(writing.ask, request, what)
        except ContainerdError as error:
            if not error.exists_already:
                raise
            if labels:
                await self.label(digest, labels)
        finally:
            writing.close()

    async def _read(self, request: content_pb2.ReadContentRequest) -> AsyncGenerator[bytes, None]:
        what = f"read {request.digest}"
        responses = self._content.Read(request, metadata=self._metadata())
        take = partial(next, responses)
        try:
            while (response := await self._in_thread(take, None, what)) is not None:
                yield response.data
        finally:
            responses.cancel()

    async def _leased(self) -> str:
        async with self._leasing:
            if not self._lease:
                name = f"pyestargz-{uuid.uuid4()}"
                hours = dt.timedelta(hours=_LEASE_HOURS)
                expiry = (dt.datetime.now(dt.UTC) + hours).isoformat(timespec="seconds")
                request = leases_pb2.CreateRequest(id=name, labels={_EXPIRY_LABEL: expiry})
                await self._call(self._leases.Create, request, "make a lease")
                self._lease = name
        return self._lease

    async def _end_lease(self) -> None:
        request = leases_pb2.DeleteRequest(id=self._lease)
        deadline = trio.current_time() + _CLOSING_SECONDS
        shield = trio.CancelScope(shield=True, deadline=deadline)
        # Somebody may have ended it before.
        with shield, contextlib.suppress(ContainerdNotFoundError):
            await self._call(self._leases.Delete, request, "give up its lease")

    def _metadata(self) -> _Metadata:
        return (("containerd-namespace", self.address.namespace),)

    async def _metadata_with_lease(self) -> _Metadata:
        return (*self._metadata(), ("containerd-lease", await self._leased()))

    async def _call(self, method: Callable[..., T], request: object, what: str) -> T:
        call = partial(method, metadata=self._metadata(), timeout=_DEADLINE_SECONDS)
        return await self._in_thread(call, request, what)

    async def _in_thread(self, call: Callable[[Any], T], argument: object, what: str) -> T:
        """Calls in a thread; a cancelled caller does not wait for it, and a silent containerd is given up."""
        with errors_of_containerd(self.address.socket, what):
            try:
                with trio.fail_after(_DEADLINE_SECONDS):
                    return await trio.to_thread.run_sync(call, argument, abandon_on_cancel=True)
            except trio.TooSlowError:
                reason = f"no answer for {_DEADLINE_SECONDS:.0f} s"
                raise ContainerdUnreachableError(self.address.socket, what, reason) from None


class _Writing:
    """One stream of requests that are answered one by one."""

    def __init__(self, method: Any, metadata: _Metadata) -> None:
        self._requests: queue.SimpleQueue[content_pb2.WriteContentRequest | None] = (
            queue.SimpleQueue()
        )
        self._responses = method(iter(self._requests.get, None), metadata=metadata)

    def ask(self, request: content_pb2.WriteContentRequest) -> content_pb2.WriteContentResponse:
        self._requests.put(request)
        response: content_pb2.WriteContentResponse | None = next(self._responses, None)
        if response is None:
            raise EOFError("it stopped listening")
        return response

    def close(self) -> None:
        self._requests.put(None)
        self._responses.cancel()
