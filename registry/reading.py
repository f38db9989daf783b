"""Bytes out of blobs: exactly those asked for, however the server answers, and on from where an answer broke off."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

import trio

from registry.authorizer import Access
from registry.digest import Digest
from registry.errors import BadResponseError, NotFoundError, RegistryError, UnreachableError
from registry.exchange import Call, Exchange, blob_path
from registry.pace import Pace
from registry.ranges import (
    BlobRange,
    BodyHeaders,
    BodyPlan,
    UnusableBodyError,
    dump_range,
    dump_suffix_range,
    parse_length,
    plan_body,
    plan_tail,
)
from registry.reference import Repository
from registry.transport import Response

# A stream that has come this far since its last failure starts counting attempts anew: long streams meet many failures.
PROGRESS_BYTES: Final = 4 << 20

_ANSWERS: Final = frozenset({200, 206})
_NO_SUFFIX_STATUSES: Final = frozenset({400, 416, 501})
_NO_HEAD_STATUSES: Final = frozenset({400, 403, 405, 501})


class BlobReading:
    """One pass over some bytes of a blob; goes on after temporary failures where it broke off."""

    def __init__(
        self,
        exchange: Exchange,
        repository: Repository,
        digest: Digest,
        *,
        start: int,
        length: int | None,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        """Plans to read ``length`` bytes from ``start``, or all that follow it; each attempt after the first is told.

        Raises:
            ValueError: the range is empty or negative.
        """
        if start < 0 or (length is not None and length < 1):
            raise ValueError(f"no such range: {length} bytes from {start}")
        self._exchange = exchange
        self._repository = repository
        self._digest = digest
        self._on_retry = on_retry
        self._start = start
        self._position = start
        self._stop = None if length is None else start + length
        self._blob_bytes: int | None = None

    def __repr__(self) -> str:
        return f"<BlobReading {self._digest} at {self._position} of {self._start} to {self._stop}>"

    async def read(self) -> BlobRange:
        """All the bytes at once.

        Raises:
            RegistryError: they could not be had.
        """
        async with contextlib.aclosing(self.chunks()) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        size = self._start + len(data) if self._blob_bytes is None else self._blob_bytes
        return BlobRange(self._start, data, size)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they arrive.

        Raises:
            RegistryError: they could not be had; what came before stays good.
        """
        began, failures = trio.current_time(), 0
        while True:
            begun_at = self._position
            try:
                async with contextlib.aclosing(self._attempt()) as attempt:
                    async for chunk in attempt:
                        self._position += len(chunk)
                        yield chunk
            except RegistryError as error:
                if self._position - begun_at >= PROGRESS_BYTES:
                    began, failures = trio.current_time(), 0
                failures += 1
                await self._exchange.pause(error, failures=failures, since=began)
                self._on_retry()
            else:
                return

    async def _attempt(self) -> AsyncGenerator[bytes, None]:
        async with self._exchange.open(self._call()) as response:
            plan = self._plan(response)
            pieces = take_body(response, plan, self._exchange.new_pace())
            async with contextlib.aclosing(pieces) as body:
                async for chunk in body:
                    yield chunk
                    await self._exchange.throttle(len(chunk))

    def _call(self) -> Call:
        length = None if self._stop is None else self._stop - self._position
        whole = self._position == 0 and length is None
        range_header = dump_range(start=self._position, length=length)
        return _blob_call(self._repository, self._digest, {} if whole else {"Range": range_header})

    def _plan(self, response: Response) -> BodyPlan:
        try:
            plan = plan_body(
                _body_headers(response),
                start=self._position,
                length=None if self._stop is None else self._stop - self._position,
                max_unranged_bytes=self._exchange.settings.max_unranged_bytes,
            )
        except UnusableBodyError as error:
            raise BadResponseError(
                response.host, status=response.status, url=response.url, detail=str(error)
            ) from None
        if plan.blob_bytes is None:
            return plan
        if self._blob_bytes not in {None, plan.blob_bytes}:
            detail = f"the blob had {self._blob_bytes} bytes, and now {plan.blob_bytes}"
            raise BadResponseError(response.host, url=response.url, detail=detail)
        self._blob_bytes = plan.blob_bytes
        return plan


async def take_body(response: Response, plan: BodyPlan, pace: Pace) -> AsyncGenerator[bytes, None]:
    """The bytes of a body that a plan wants.

    Raises:
        BadResponseError: the body ends before it has given them.
        UnreachableError: the network failed, or is too slow to be of use.
    """
    skip, left = plan.skip, plan.take
    while received := await _receive(response, pace):
        if left == 0:
            return  # more than wanted; reading on to the end would save the connection, but may cost a blob
        chunk = received[skip:] if skip else received
        skip -= min(skip, len(received))
        if left is not None:
            chunk = chunk[:left]
            left -= len(chunk)
        if chunk:
            yield chunk
    if skip or left:
        detail = f"the body ends {skip + (left or 0)} bytes too early"
        raise BadResponseError(
            response.host, status=response.status, url=response.url, detail=detail
        )


async def _receive(response: Response, pace: Pace) -> bytes:
    begun = trio.current_time()
    with trio.move_on_after(pace.seconds_left):
        received = await response.receive()
        pace.received(len(received), waited_seconds=trio.current_time() - begun)
        return received
    raise UnreachableError(response.host, url=response.url, detail="the body comes too slowly")


async def read_tail(
    exchange: Exchange, repository: Repository, digest: Digest, *, length: int
) -> BlobRange:
    """The last ``length`` bytes of a blob, or all of a smaller one; see ``RegistryClient.read_tail``."""
    if length < 1:
        raise ValueError(f"no such range: the last {length} bytes")
    try:
        tail = await exchange.retrying(lambda: _read_suffix(exchange, repository, digest, length))
    except RegistryError as error:
        if error.status not in _NO_SUFFIX_STATUSES:
            raise
        tail = None
    if tail is not None:
        return tail
    size = await find_blob_size(exchange, repository, digest, access=Access.PULL)
    if not size:
        return BlobRange(0, b"", 0)
    start = max(0, size - length)
    return await BlobReading(exchange, repository, digest, start=start, length=size - start).read()


async def find_blob_size(
    exchange: Exchange, repository: Repository, digest: Digest, *, access: Access
) -> int | None:
    """The size of a blob, or None where there is none; see ``RegistryClient.blob_exists``."""
    call = Call("HEAD", repository, blob_path(repository, digest), access=access)
    try:
        size = await exchange.retrying(lambda: _ask_length(exchange, call))
    except NotFoundError:
        return None
    except BadResponseError as error:
        # The registry redirected to a URL that is signed for GET alone.
        if error.status not in _NO_HEAD_STATUSES:
            raise
        size = None
    if size is not None:
        return size
    reading = BlobReading(exchange, repository, digest, start=0, length=1)
    return (await reading.read()).blob_bytes


async def _ask_length(exchange: Exchange, call: Call) -> int | None:
    async with exchange.open(call) as response:
        return parse_length(response.header("Content-Length"))


async def _read_suffix(
    exchange: Exchange, repository: Repository, digest: Digest, length: int
) -> BlobRange | None:
    """One request for the end of a blob; None where the server does not do that."""
    call = _blob_call(repository, digest, {"Range": dump_suffix_range(length=length)})
    limit = exchange.settings.max_unranged_bytes
    async with exchange.open(call) as response:
        try:
            plan = plan_tail(_body_headers(response), length=length, max_unranged_bytes=limit)
        except UnusableBodyError as error:
            raise BadResponseError(
                response.host, status=response.status, url=response.url, detail=str(error)
            ) from None
        if plan is None or plan.blob_bytes is None:
            return None
        pieces = take_body(response, plan, exchange.new_pace())
        async with contextlib.aclosing(pieces) as body:
            data = b"".join([chunk async for chunk in body])
    return BlobRange(plan.blob_bytes - len(data), data, plan.blob_bytes)


def _blob_call(repository: Repository, digest: Digest, headers: dict[str, str]) -> Call:
    path = blob_path(repository, digest)
    return Call("GET", repository, path, headers=headers, expected=_ANSWERS, blob=digest)


def _body_headers(response: Response) -> BodyHeaders:
    return BodyHeaders(
        status=response.status,
        content_range=response.header("Content-Range"),
        content_length=response.header("Content-Length"),
        content_encoding=response.header("Content-Encoding"),
    )
