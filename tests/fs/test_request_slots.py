from collections import Counter

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from fs.fetch_counters import Priority
from fs.request_slots import Applicant, Occupancy, RequestSlots, SlotSettings, in_turn

SETTINGS = SlotSettings(total=4, per_image=3)
applicants = st.builds(
    Applicant, st.sampled_from("abc"), st.sampled_from(Priority), st.integers(1, 100)
)


@given(st.lists(applicants, max_size=40), st.data())
def test_the_limits_hold_and_a_reader_finds_room(
    arriving: list[Applicant], data: st.DataObject
) -> None:
    occupancy = Occupancy(SETTINGS)
    inside: list[Applicant] = []
    for applicant in arriving:
        if occupancy.admits(applicant):
            occupancy.enter(applicant)
            inside.append(applicant)
        elif inside:
            occupancy.leave(inside.pop(data.draw(st.integers(0, len(inside) - 1))))
        assert occupancy.total == len(inside) <= SETTINGS.total
        assert max(Counter(a.image for a in inside).values(), default=0) <= SETTINGS.per_image
        assert sum(not a.is_demand for a in inside) <= SETTINGS.total // 2
    for applicant in inside:
        occupancy.leave(applicant)
    assert all(occupancy.admits(applicant) for applicant in arriving)


def test_readers_go_first_and_then_small_requests() -> None:
    background, large, small, reader = (
        Applicant("a", Priority.BACKGROUND, 1),
        Applicant("a", Priority.PREFETCH, 100),
        Applicant("a", Priority.PREFETCH, 10),
        Applicant("a", Priority.DEMAND, 1000),
    )
    assert in_turn([background, large, small, reader]) == [reader, small, large, background]


async def test_who_waits_is_admitted_when_a_slot_is_free_and_who_gives_up_takes_none() -> None:
    slots, leave = RequestSlots(SETTINGS), trio.Event()
    order: list[str] = []

    async def take(name: str, priority: Priority) -> None:
        async with slots.slot("image", priority, 1):
            order.append(name)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for name in ("1", "2", "3"):
            nursery.start_soon(take, name, Priority.DEMAND)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as impatient:
            impatient.cancel()
            await take("impatient", Priority.DEMAND)
        nursery.start_soon(take, "background", Priority.BACKGROUND)
        nursery.start_soon(take, "reader", Priority.DEMAND)
        await trio.testing.wait_all_tasks_blocked()
        assert (sorted(order), slots.taken) == (["1", "2", "3"], 3)
        leave.set()
    assert sorted(order[3:]) == ["background", "reader"]
    assert slots.taken == 0
    assert "0 waiting" in repr(slots)


def test_there_must_be_room_for_a_reader() -> None:
    with pytest.raises(ValueError, match="a slot each"):
        SlotSettings(total=1)
