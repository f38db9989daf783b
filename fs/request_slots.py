"""How many requests may be under way at a time: on the whole node, and for one image.

Who waits for a slot gets it in the order of priority, the smaller request first, then who came first. What nobody waits
for may hold half of the slots at the most: it keeps its slot while it stands aside, and a reader must find one.
"""

from collections import Counter
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from fs.fetch_counters import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """The limits."""

    total: int = 64
    per_image: int = 16

    def __post_init__(self) -> None:
        if min(self.total, self.per_image) <= 1:
            raise ValueError("a reader and what is fetched unasked need a slot each")


@dataclass(eq=False, slots=True)
class Applicant:
    """Somebody who wants to make a request.

    Attributes:
        image: the image it is for.
        priority: how urgent it is.
        size: how many bytes it asks for.
        admitted: set when it may go.
    """

    image: Hashable
    priority: Priority
    size: int
    admitted: trio.Event = field(default_factory=trio.Event)

    @property
    def is_demand(self) -> bool:
        """Whether somebody waits for what it brings."""
        return self.priority is Priority.DEMAND


class Occupancy:
    """Which slots are taken. Pure."""

    def __init__(self, settings: SlotSettings) -> None:
        self._settings = settings
        self.total = 0
        self._unasked = 0
        self._images: Counter[Hashable] = Counter()
        self._unasked_images: Counter[Hashable] = Counter()

    def __repr__(self) -> str:
        return f"<Occupancy {self.total} of {self._settings.total}, {self._unasked} unasked>"

    def admits(self, applicant: Applicant) -> bool:
        """Whether there is a slot for it."""
        limits, image = self._settings, applicant.image
        if self.total >= limits.total or self._images[image] >= limits.per_image:
            return False
        return applicant.is_demand or (
            self._unasked < limits.total // 2
            and self._unasked_images[image] < limits.per_image // 2
        )

    def enter(self, applicant: Applicant) -> None:
        """Takes a slot."""
        self._count(applicant, 1)

    def leave(self, applicant: Applicant) -> None:
        """Gives it back."""
        self._count(applicant, -1)

    def _count(self, applicant: Applicant, change: int) -> None:
        unasked = 0 if applicant.is_demand else change
        self.total += change
        self._unasked += unasked
        for counts, by in ((self._images, change), (self._unasked_images, unasked)):
            counts[applicant.image] += by
            if not counts[applicant.image]:
                del counts[applicant.image]


def in_turn(waiting: Sequence[Applicant]) -> list[Applicant]:
    """Applicants, given in the order they came, in the order they are admitted."""
    return sorted(waiting, key=lambda applicant: (applicant.priority, applicant.size))


class RequestSlots:
    """The slots of a node."""

    def __init__(self, settings: SlotSettings) -> None:
        self._occupancy = Occupancy(settings)
        self._waiting: list[Applicant] = []

    def __repr__(self) -> str:
        return f"<RequestSlots {self._occupancy!r}, {len(self._waiting)} waiting>"

    @property
    def taken(self) -> int:
        """How many requests are under way."""
        return self._occupancy.total

    @asynccontextmanager
    async def slot(self, image: Hashable, priority: Priority, size: int) -> AsyncIterator[None]:
        """Holds a slot for the time of a ``with`` block; waits for one first."""
        applicant = Applicant(image, priority, size)
        self._waiting.append(applicant)
        self._admit()
        try:
            await applicant.admitted.wait()
            yield
        finally:
            if applicant.admitted.is_set():
                self._occupancy.leave(applicant)
            else:
                self._waiting.remove(applicant)
            self._admit()

    def _admit(self) -> None:
        for applicant in in_turn(self._waiting):
            if self._occupancy.admits(applicant):
                self._occupancy.enter(applicant)
                self._waiting.remove(applicant)
                applicant.admitted.set()
