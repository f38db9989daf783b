import trio
import trio.testing

from fs.fetch_counters import Priority
from fs.flights import Flight, Request, Turn


def test_a_flight_is_over_when_it_is_forgotten() -> None:
    request = Request([3, 4], 100, 200, Priority.DEMAND)
    assert request.position == 100
    three, four = Flight(3), Flight(4)
    request.board(three)
    request.board(four)
    assert request.received(3) is three
    assert request.unlanded() == [three, four]
    assert list(request.waiting) == [4]
    request.forget(three)
    request.forget(four)
    assert request.unlanded() == []


async def test_boarding_ends_standing_aside() -> None:
    request = Request([3], 100, 200, Priority.BACKGROUND)
    async with trio.open_nursery() as nursery:

        async def stand_aside() -> None:
            with trio.CancelScope() as request.standing_aside:
                await trio.sleep_forever()

        nursery.start_soon(stand_aside)
        await trio.testing.wait_all_tasks_blocked()
        request.board(Flight(3))


async def test_others_run_after_a_turns_worth_of_work() -> None:
    turn = Turn()
    with trio.testing.assert_no_checkpoints():
        turn.worked(100)
        await turn.pass_on()
    with trio.testing.assert_checkpoints():
        turn.worked(1 << 20)
        await turn.pass_on()
