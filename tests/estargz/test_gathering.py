import pytest
import trio

from estargz.gathering import gather


class _BrokenError(Exception):
    pass


async def test_results_come_in_the_order_of_the_items(autojump_clock: trio.abc.Clock) -> None:
    async def work(delay: int) -> int:
        await trio.sleep(delay)
        return delay * 10

    assert await gather(work, [3, 1, 2], at_once=3) == [30, 10, 20]
    assert await gather(work, [], at_once=3) == []


async def test_no_more_than_asked_for_are_under_way() -> None:
    under_way = highest = 0

    async def work(_item: int) -> None:
        nonlocal under_way, highest
        under_way += 1
        highest = max(highest, under_way)
        await trio.lowlevel.checkpoint()
        under_way -= 1

    await gather(work, range(10), at_once=2)
    assert highest == 2


async def test_the_first_failure_is_raised_bare_and_ends_the_others() -> None:
    ended = []

    async def work(item: int) -> None:
        if item == 1:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_fail)
        try:
            await trio.sleep_forever()
        finally:
            ended.append(item)

    async def _fail() -> None:
        raise _BrokenError

    with pytest.raises(_BrokenError):
        await gather(work, [0, 1, 2], at_once=3)
    assert sorted(ended) == [0, 2]


async def test_cancellation_is_not_a_failure() -> None:
    async def work(_item: int) -> None:
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        scope.cancel()
        await gather(work, [1], at_once=1)
    assert scope.cancelled_caught
