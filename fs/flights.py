"""Members on their way, and the requests that carry them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from estargz.verify import VerifiedChunk
from fs.fetch_counters import Priority
from fs.layer_blob import StreamWindow

# About two milliseconds of decoding.
_TURN_BYTES = 32 << 10


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


@dataclass(eq=False, slots=True)
class Turn:
    """How much a task has done since it last let others run: many small members may have come at once.

    Attributes:
        done_bytes: compressed bytes that it has decoded.
    """

    done_bytes: int = 0

    def worked(self, size: int) -> None:
        """It decoded so much, without letting anybody run."""
        self.done_bytes += size

    async def pass_on(self) -> None:
        """Lets others run if it is time."""
        if self.done_bytes >= _TURN_BYTES:
            self.done_bytes = 0
            await trio.lowlevel.checkpoint()


@dataclass(eq=False, slots=True)
class Request:
    """One range request under way.

    Attributes:
        numbers: the members it is to bring, in blob order.
        start: the blob offset where it begins.
        end: the blob offset where it ends.
        priority: for whom it was made.
        has_slot: whether it is under way, and not waiting for others to end.
        stream: where its bytes come from, once it is open.
        position: how far it has come, as a blob offset.
        waiting: the flights whose bytes have not come, of members that somebody waits for, or that are next.
        landing: the flights whose bytes have come, but are not in the store yet.
        was_steady: whether it never stood aside: only then its speed tells something of the link.
        standing_aside: the scope in which it waits for readers to go first.
    """

    numbers: Sequence[int]
    start: int
    end: int
    priority: Priority
    has_slot: bool = False
    stream: StreamWindow | None = None
    position: int = 0
    waiting: dict[int, Flight] = field(default_factory=dict)
    landing: dict[int, Flight] = field(default_factory=dict)
    was_steady: bool = True
    standing_aside: trio.CancelScope | None = None

    def __post_init__(self) -> None:
        self.position = self.start

    @property
    def silent_seconds(self) -> float:
        """How long it has been waiting for bytes."""
        return 0.0 if self.stream is None else self.stream.silent_seconds

    def board(self, flight: Flight) -> None:
        """Somebody waits for one of its members: it goes on at once, and does not stand aside until that is here."""
        self.waiting[flight.member] = flight
        if self.standing_aside is not None:
            self.standing_aside.cancel()

    def received(self, number: int) -> Flight:
        """The bytes of a member that is waited for have come."""
        flight = self.landing[number] = self.waiting.pop(number)
        return flight

    def unlanded(self) -> list[Flight]:
        """The flights that are not over."""
        return [*self.landing.values(), *self.waiting.values()]

    def forget(self, flight: Flight) -> None:
        """A flight is over."""
        self.landing.pop(flight.member, None)
        self.waiting.pop(flight.member, None)
