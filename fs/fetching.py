"""Fetching: from "these chunks are missing" to "they are in the store", once for all who ask.

A *flight* brings one member. Whoever misses a chunk joins the flight of its member or starts one;
neighbours leave in one request and land one by one, so the first bytes are not kept waiting for the
last. A reader that gives up leaves the flight going; a flight that fails tells each who waits, and
the next read starts a new one: nothing is remembered of a failure but its count and its text.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from estargz.errors import CorruptMemberError, DigestMismatchError
from estargz.members import decode_member
from estargz.verify import VerifiedChunk
from fs.chunk_store import ChunkStore
from fs.chunk_table import Member
from fs.demand_gate import DemandGate
from fs.errors import ChunkUnavailableError, StaleLayerError
from fs.layer_blob import LayerBlob, StreamWindow
from fs.layer_image import LayerImage
from fs.read_ahead import ReadAhead
from fs.request_planning import FetchSettings, plan_requests

_log = logging.getLogger(__name__)

Pause = Callable[[], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Flight:
    """A member on its way.

    Attributes:
        member: its number.
        landed: set when it is here, or has failed.
        error: why it failed.
        unkept: its chunks that the disk would not take: right, but only here.
    """

    member: int
    landed: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None
    unkept: dict[int, VerifiedChunk] = field(default_factory=dict)


class Fetcher:
    """Brings the missing chunks of one layer; its flights live in the nursery it was given."""

    def __init__(
        self,
        nursery: trio.Nursery,
        blob: LayerBlob,
        image: LayerImage,
        store: ChunkStore,
        gate: DemandGate,
        settings: FetchSettings,
    ) -> None:
        self._nursery = nursery
        self._gate = gate
        self._blob = blob
        self._image = image
        self._chunks = image.chunks
        self._store = store
        self._settings = settings
        self._flights: dict[int, Flight] = {}
        self._read_ahead = ReadAhead(settings.read_ahead)
        self.verify_failures = 0
        self.last_error = ""
        self._disk_error = ""
        # Compressed bytes that need not be fetched again; a member's chunks come and are kept together.
        self.landed_bytes = 0 if store.is_empty else self._count_landed()

    def _count_landed(self) -> int:
        members = (self._chunks.member(number) for number in range(self._chunks.member_count))
        return sum(m.end - m.start for m in members if not self._store.missing(m.chunks))

    def __repr__(self) -> str:
        return f"<Fetcher {self._blob.digest} {len(self._flights)} in flight>"

    async def wait_present(self, indices: Iterable[int]) -> Mapping[int, VerifiedChunk]:
        """Returns when all these chunks are in the store; those that the disk would not take, it returns.

        Raises:
            ChunkUnavailableError: one of them could not be brought.
        """
        missing = self._store.missing(indices)
        with self._gate.demand():
            flights = self._join(sorted({self._chunks.member_number(index) for index in missing}))
            for flight in flights:
                await flight.landed.wait()
        for flight in flights:
            if flight.error is not None:
                raise ChunkUnavailableError(
                    layer=self._blob.digest,
                    chunk=self._describe(flight.member),
                    reason=str(flight.error),
                ) from flight.error
        return {index: chunk for flight in flights for index, chunk in flight.unkept.items()}

    def next_missing(self, first: int, *, end: int | None, max_bytes: int) -> list[int]:
        """The next members that are not here and that nobody is bringing: a request's worth, in blob order.

        Args:
            first: the number to begin with.
            end: only members that begin before this blob offset; None for all.
            max_bytes: how large the request may be, unless a single member is larger.
        """
        found: list[int] = []
        begin = last_end = 0
        for number in range(first, self._chunks.member_count):
            member = self._chunks.member(number)
            if end is not None and member.start >= end:
                break
            if found:
                is_far = member.start - last_end > self._settings.read_through_bytes
                if is_far or member.end - begin > max_bytes:
                    break
            if self.is_missing(number):
                begin = begin if found else member.start
                last_end = member.end
                found.append(number)
        return found

    def is_missing(self, number: int) -> bool:
        """Whether a member is not here, and nobody is bringing it."""
        chunks = self._chunks.member(number).chunks
        return number not in self._flights and bool(self._store.missing(chunks))

    async def bring(self, numbers: Sequence[int], pause: Pause) -> None:
        """Brings members that nobody waits for, in one request; what fails stays missing.

        A member becomes a flight only when its bytes are next: who wants a later one need not wait for those before.

        Args:
            numbers: the members, in blob order.
            pause: waited for before each; the request stays open meanwhile.
        """
        await self._carry(numbers, {}, pause)

    def _join(self, numbers: Sequence[int]) -> list[Flight]:
        new = [number for number in numbers if number not in self._flights]
        for planned in plan_requests(new, self._chunks, self._settings):
            # Read-ahead of the request before may have taken some along.
            needed = [number for number in planned if number not in self._flights]
            if not needed:
                continue
            request = needed + self._following(needed)
            waiting = {number: Flight(number) for number in request}
            self._flights.update(waiting)
            self._nursery.start_soon(self._carry, request, waiting)
        return [self._flights[number] for number in numbers]

    def _following(self, needed: Sequence[int]) -> list[int]:
        """The members behind those of a request that should come along, because they are being read in sequence."""
        start = self._chunks.member(needed[0]).start
        window = self._read_ahead.window(start)
        following: list[int] = []
        for number in range(needed[-1] + 1, self._chunks.member_count):
            if self._chunks.member(number).end - start > window or not self.is_missing(number):
                break
            following.append(number)
        end = self._chunks.member((following or needed)[-1]).end
        self._read_ahead.sent(end=end, window=window)
        return following

    async def _carry(
        self, numbers: Sequence[int], waiting: dict[int, Flight], pause: Pause | None = None
    ) -> None:
        """Brings the members of one request, in blob order.

        Args:
            numbers: the members.
            waiting: the flights of those that have one; each is taken out when it has landed.
            pause: members without a flight get one when it is their turn, after this.
        """
        start = self._chunks.member(numbers[0]).start
        end = self._chunks.member(numbers[-1]).end
        try:
            async with self._blob.stream(start=start, length=end - start) as pieces:
                received = StreamWindow(pieces, start)
                for number in numbers:
                    if pause is not None:
                        await pause()
                        self._depart(number, waiting)
                    if number in waiting:
                        member = self._chunks.member(number)
                        data = await received.take(member.start, member.end)
                        await self._land(waiting[number], data)
                        del waiting[number]
                # Nothing more comes, but only an answer that was read to its end frees its connection.
                async for _ in pieces:
                    pass
        except Exception as error:  # noqa: BLE001 - it is handed to those who wait; here it would end the server
            self.last_error = str(error)
            for flight in waiting.values():
                self._fail(flight, error)
        finally:
            for flight in waiting.values():
                # Cancelled, when the server stops: who still waits must not take it for success.
                flight.error = flight.error or StaleLayerError(str(self._blob.digest))
                self._close(flight)

    def _depart(self, number: int, waiting: dict[int, Flight]) -> None:
        """Makes a flight for a member, unless it is here by now, or on its way for somebody else."""
        if self.is_missing(number):
            waiting[number] = self._flights[number] = Flight(number)

    async def _land(self, flight: Flight, data: bytes) -> None:
        """Puts a member into the store; wrong bytes are asked for once more."""
        try:
            await self._store_member(flight, data)
        except (CorruptMemberError, DigestMismatchError) as error:
            self._count_wrong(flight, error)
            try:
                await self._store_member(flight, await self._fetch_again(flight.member))
            except (CorruptMemberError, DigestMismatchError) as again:
                self._count_wrong(flight, again)
                self._fail(flight, again)
        self._close(flight)

    async def _fetch_again(self, number: int) -> bytes:
        member = self._chunks.member(number)
        length = member.end - member.start
        async with self._blob.stream(start=member.start, length=length) as pieces:
            return await StreamWindow(pieces, member.start).take(member.start, member.end)

    async def _store_member(self, flight: Flight, data: bytes) -> None:
        member = self._chunks.member(flight.member)
        content = sum(self._chunks.sizes[index] for index in member.chunks)
        if content <= self._settings.inline_decode_bytes:
            flight.unkept = self._decode_and_write(member, data)
        else:
            flight.unkept = await trio.to_thread.run_sync(self._decode_and_write, member, data)
        if not flight.unkept:
            self._store.mark_present(member.chunks)
            self.landed_bytes += member.end - member.start

    def _decode_and_write(self, member: Member, data: bytes) -> dict[int, VerifiedChunk]:
        """Decodes a member into the store; gives its chunks if the disk would not take them all."""
        spans = [self._chunks.inner_span(index) for index in member.chunks]
        contents = decode_member(data, spans, blob_offset=member.start, codec=self._image.codec)
        chunks = {
            index: VerifiedChunk(f"chunk {index}", self._chunks.digest(index), content)
            for index, content in zip(member.chunks, contents, strict=True)
        }
        try:
            for index, chunk in chunks.items():
                self._store.write(index, chunk)
        except OSError as error:
            self._tell_kept(error)
            return chunks
        self._tell_kept(None)
        return {}

    def _tell_kept(self, error: OSError | None) -> None:
        """Says, once each time it changes, whether content can be kept."""
        reason = "" if error is None else str(error)
        if reason != self._disk_error:
            self._disk_error = reason
            fields = {"layer": str(self._blob.digest), "error": reason}
            if error is None:
                _log.info("content is kept again", extra={"fields": fields})
            else:
                _log.warning("content is served but cannot be kept", extra={"fields": fields})

    def _count_wrong(self, flight: Flight, error: Exception) -> None:
        self.verify_failures += 1
        self._tell("wrong content from the registry", flight, str(error))

    def _fail(self, flight: Flight, error: Exception) -> None:
        flight.error = error
        self.last_error = str(error)
        self._tell("chunk unavailable", flight, f"{type(error).__name__}: {error}")

    def _tell(self, message: str, flight: Flight, error: str) -> None:
        fields = {
            "layer": str(self._blob.digest),
            "reference": str(self._blob.reference),
            "chunk": self._describe(flight.member),
            "error": error,
        }
        _log.error(message, extra={"fields": fields})

    def _close(self, flight: Flight) -> None:
        self._flights.pop(flight.member, None)
        flight.landed.set()

    def _describe(self, number: int) -> str:
        member = self._chunks.member(number)
        index = member.chunks[0]
        path = self._image.inodes.file_at(self._chunks.data_offsets[index])
        return f"chunk {index} of {path} (blob bytes {member.start} to {member.end})"
