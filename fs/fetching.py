"""Fetching: from "these chunks are missing" to "they are in the store", once for all who ask.

A *flight* brings one member. Whoever misses a chunk joins the flight of its member or starts one;
neighbours leave in one request and land one by one, so the first bytes are not kept waiting for the
last. A reader that gives up leaves the flight going; a flight that fails tells each who waits, and
the next read starts a new one: nothing is remembered of a failure but its count and its text.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import trio

from estargz.errors import CorruptMemberError, DigestMismatchError
from estargz.verify import VerifiedChunk
from fs.chunk_store import ChunkStore
from fs.errors import ChunkUnavailableError, StaleLayerError
from fs.fetch_counters import FetchCounters, Priority
from fs.flights import Flight, Request, Turn
from fs.landing import Landing
from fs.layer_blob import LayerBlob, StreamWindow
from fs.layer_image import LayerImage
from fs.node_traffic import NodeTraffic
from fs.read_ahead import ReadAhead, Window
from fs.request_planning import FetchSettings, mark_position, plan_following, plan_requests
from registry.errors import ContentError

_log = logging.getLogger(__name__)
# One member is decoded while the next one comes.
_LANDINGS_AT_ONCE = 2
_MEMBERS_BETWEEN_CHECKPOINTS = 500
# Passing over a member that is here already costs as much as decoding so many bytes.
_SKIPPING_BYTES = 128


class Fetcher:
    """Brings the missing chunks of one layer; its flights live in the nursery it was given."""

    def __init__(
        self,
        nursery: trio.Nursery,
        blob: LayerBlob,
        image: LayerImage,
        store: ChunkStore,
        node: NodeTraffic,
        settings: FetchSettings,
    ) -> None:
        self._nursery = nursery
        self._node = node
        self._blob = blob
        self._image = image
        self._chunks = image.chunks
        self._store = store
        self._settings = settings
        self._landing = Landing(
            blob.digest, image, store, inline_bytes=settings.inline_decode_bytes
        )
        self._flights: dict[int, Flight] = {}
        self._fills: list[Request] = []
        self._read_ahead = ReadAhead(settings.read_ahead)
        self.last_error = ""

    def __repr__(self) -> str:
        return f"<Fetcher {self._blob.digest} {len(self._flights)} in flight>"

    @property
    def counters(self) -> FetchCounters:
        """What fetching has cost."""
        return self._blob.counters

    @property
    def link_bytes(self) -> int:
        """What the way to the registry carries in a round trip, as far as is known."""
        return self._blob.link.bytes_in_flight

    def hit(self, chunks: Iterable[int]) -> None:
        """A read was answered from the store; if it goes on with a sequence, what follows is sent for."""
        self._blob.counters.hits += 1
        if self._read_ahead.has_marks:
            self._read_on({self._chunks.member_number(index) for index in chunks})

    async def wait_present(self, indices: Iterable[int]) -> Mapping[int, VerifiedChunk]:
        """Returns when all these chunks are in the store; those that the disk would not take, it returns.

        Raises:
            ChunkUnavailableError: one of them could not be brought.
        """
        self._blob.counters.waits += 1
        missing = self._store.missing(indices)
        with self._node.gate.demand():
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

    def is_missing(self, number: int) -> bool:
        """Whether a member is not here, and nobody is bringing it."""
        chunks = self._chunks.member(number).chunks
        return number not in self._flights and bool(self._store.missing(chunks))

    async def next_missing(self, first: int, *, end: int | None, max_bytes: int) -> list[int]:
        """The next members that are not here and that nobody is bringing: a request's worth, in blob order.

        Args:
            first: the number to begin with.
            end: only members that begin before this blob offset; None for all.
            max_bytes: how large the request may be, unless a single member is larger.
        """
        found: list[int] = []
        begin = last_end = 0
        gap_bytes = self._settings.gap_bytes(self.link_bytes)
        for number in range(first, self._chunks.member_count):
            if number % _MEMBERS_BETWEEN_CHECKPOINTS == 0:
                await trio.lowlevel.checkpoint()  # large layers are long
            member = self._chunks.member(number)
            if end is not None and member.start >= end:
                break
            if found and (member.start - last_end > gap_bytes or member.end - begin > max_bytes):
                break
            if self.is_missing(number):
                begin = begin if found else member.start
                last_end = member.end
                found.append(number)
        return found

    async def bring(
        self, numbers: Sequence[int], priority: Priority, *, quiet_seconds: float
    ) -> None:
        """Brings members that nobody waits for, in one request; what fails stays missing.

        A member becomes a flight only when its bytes are next: who wants a later one need not wait for those before. Between two
        the request stands aside for readers, unless one of them waits for what it brings.

        Args:
            numbers: the members, in blob order.
            priority: why they are brought.
            quiet_seconds: how long no reader may have waited before it goes on.
        """
        request = self._request(numbers, priority)
        self._fills.append(request)
        try:
            await self._carry(request, quiet_seconds)
        finally:
            self._fills.remove(request)

    def _request(self, numbers: Sequence[int], priority: Priority) -> Request:
        first, last = self._chunks.member(numbers[0]), self._chunks.member(numbers[-1])
        return Request(numbers, first.start, last.end, priority)

    # Who waits

    def _join(self, numbers: Sequence[int]) -> list[Flight]:
        new = [n for n in numbers if n not in self._flights and not self._board(n)]
        gap_bytes = self._settings.gap_bytes(self.link_bytes)
        for planned in plan_requests(
            new,
            self._chunks,
            gap_bytes=gap_bytes,
            max_bytes=self._settings.max_request_bytes,
        ):
            # Read-ahead of the request before may have taken some along; what lies in gaps comes anyway.
            needed = [number for number in planned if self.is_missing(number)]
            if needed:
                self._send(needed, self._window(needed[0]))
        flights = [self._flights[number] for number in numbers]
        if self._read_ahead.has_marks:
            self._read_on(numbers)
        return flights

    def _board(self, number: int) -> bool:
        """Waits for a member in a request that nobody waited for, if that will bring it soon."""
        member = self._chunks.member(number)
        distance = self._settings.join_distance(self.link_bytes)
        for request in self._fills:
            is_near = request.position <= member.start and member.end - request.position <= distance
            # One without a slot may be waiting for those that stand aside for this reader.
            is_alive = request.has_slot and request.silent_seconds < self._settings.stuck_seconds
            if is_near and is_alive and number in request.numbers:
                self._flights[number] = Flight(number)
                request.board(self._flights[number])
                return True
        return False

    def _window(self, number: int) -> Window:
        return self._read_ahead.window(
            self._chunks.member(number).start,
            link_bytes=self.link_bytes,
            sharing=self._node.slots.taken + 1,
        )

    def _send(self, needed: Sequence[int], window: Window) -> None:
        """Makes a request for members, and for those behind them that a window holds."""
        start = self._chunks.member(needed[0]).start
        numbers = [*needed, *self._following(needed[-1], end=start + window.size)]
        request = self._request(numbers, Priority.DEMAND)
        request.waiting = {number: Flight(number) for number in numbers}
        self._flights.update(request.waiting)
        self._read_ahead.sent(start=request.start, end=request.end, window=window)
        if window.in_sequence:
            mark = mark_position(numbers, self._chunks, window=window.size)
            self._read_ahead.mark(mark, last=numbers[-1])
        self._nursery.start_soon(self._carry, request)

    def _following(self, last: int, *, end: int) -> list[int]:
        gap_bytes = self._settings.gap_bytes(self.link_bytes)
        return plan_following(
            last, self._chunks, end=end, gap_bytes=gap_bytes, is_missing=self.is_missing
        )

    def _read_on(self, numbers: Iterable[int]) -> None:
        """Sends for what follows the requests whose marks these members bear."""
        for last in self._read_ahead.passed(numbers):
            following = last + 1
            if following < self._chunks.member_count and self.is_missing(following):
                window = self._window(following)
                if window.in_sequence:
                    self._send([following], window)

    # Bringing

    async def _carry(self, request: Request, quiet_seconds: float = 0.0) -> None:
        """Brings the members of one request, in blob order."""
        image = self._blob.reference.repository_name
        size = request.end - request.start
        try:
            async with (
                self._node.slots.slot(image, request.priority, size),
                trio.open_nursery() as landings,
            ):
                request.has_slot = True
                await self._receive(request, landings, quiet_seconds)
        except Exception as error:  # noqa: BLE001 - it is handed to those who wait; here it would end the server
            cause = _first_cause(error)
            self.last_error = str(cause)
            for flight in request.unlanded():
                self._fail(flight, cause)
        finally:
            for flight in request.unlanded():
                # Cancelled, when the server stops: who still waits must not take it for success.
                flight.error = flight.error or StaleLayerError(str(self._blob.digest))
                self._close(flight, request)

    async def _receive(
        self, request: Request, landings: trio.Nursery, quiet_seconds: float
    ) -> None:
        room = trio.Semaphore(_LANDINGS_AT_ONCE)
        async with self._blob.stream(
            start=request.start,
            length=request.end - request.start,
            priority=request.priority,
            was_steady=lambda: request.was_steady,
        ) as pieces:
            received = StreamWindow(self._blob, pieces, request.start, self._settings)
            request.stream, turn = received, Turn()
            for number in request.numbers:
                if request.priority is not Priority.DEMAND:
                    await self._stand_aside(request, quiet_seconds)
                    self._depart(number, request)
                member = self._chunks.member(number)
                if number in request.waiting:
                    data = await received.take(member.start, member.end)
                    flight = request.received(number)
                    if self._landing.is_quick(member):
                        await self._land(request, flight, data)
                        turn.worked(len(data))
                    else:
                        await room.acquire()
                        landings.start_soon(self._land_beside, request, flight, data, room)
                else:
                    turn.worked(_SKIPPING_BYTES)
                request.position = member.end
                await turn.pass_on()
            await received.drain()

    async def _stand_aside(self, request: Request, quiet_seconds: float) -> None:
        if not request.waiting and not self._node.gate.is_quiet(quiet_seconds):
            request.was_steady = False
            with trio.CancelScope() as request.standing_aside:
                await self._node.gate.wait_quiet(quiet_seconds)
            request.standing_aside = None

    def _depart(self, number: int, request: Request) -> None:
        """Makes a flight for a member, unless it is here by now, or on its way for somebody else."""
        if self.is_missing(number):
            request.waiting[number] = self._flights[number] = Flight(number)

    async def _land_beside(
        self, request: Request, flight: Flight, data: bytes, room: trio.Semaphore
    ) -> None:
        """As ``_land``, beside the receiving of what follows, for which there is room only so often."""
        await self._land(request, flight, data)
        room.release()

    async def _land(self, request: Request, flight: Flight, data: bytes) -> None:
        """Puts a member into the store; wrong bytes are asked for once more."""
        member = self._chunks.member(flight.member)
        try:
            try:
                flight.unkept = await self._landing.put(member, data)
            except (CorruptMemberError, DigestMismatchError) as error:
                self._count_wrong(flight, error)
                await self._blob.distrust()
                data = await self._fetch_again(flight.member, request.priority)
                flight.unkept = await self._landing.put(member, data)
        except (CorruptMemberError, DigestMismatchError) as error:
            self._count_wrong(flight, error)
            self._fail(flight, error)
        except ContentError as error:
            self._fail(flight, error)
        self._close(flight, request)

    async def _fetch_again(self, number: int, priority: Priority) -> bytes:
        member = self._chunks.member(number)
        length = member.end - member.start
        self._blob.counters.count_retry()
        async with self._blob.stream(
            start=member.start, length=length, priority=priority
        ) as pieces:
            received = StreamWindow(self._blob, pieces, member.start, self._settings)
            return await received.take(member.start, member.end)

    def _count_wrong(self, flight: Flight, error: Exception) -> None:
        self._blob.counters.verify_failures += 1
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

    def _close(self, flight: Flight, request: Request) -> None:
        """The flight is over: in the same step it is forgotten, and who waits is woken."""
        request.forget(flight)
        self._flights.pop(flight.member, None)
        flight.landed.set()

    def _describe(self, number: int) -> str:
        member = self._chunks.member(number)
        index = member.chunks[0]
        path = self._image.inodes.file_at(self._chunks.data_offsets[index])
        return f"chunk {index} of {path} (blob bytes {member.start} to {member.end})"


def _first_cause(error: Exception) -> Exception:
    """What went wrong first, where a nursery has wrapped it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
