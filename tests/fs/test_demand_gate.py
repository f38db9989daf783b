import trio
from trio.testing import MockClock

from fs.demand_gate import DemandGate


async def test_nobody_waiting_is_quiet(autojump_clock: MockClock) -> None:
    await DemandGate().wait_quiet(100)
    assert trio.current_time() == 0


async def test_quiet_begins_when_the_last_reader_has_what_it_wants(
    autojump_clock: MockClock,
) -> None:
    gate = DemandGate()
    quiet_at: list[float] = []

    async def read(start: float, end: float) -> None:
        await trio.sleep(start)
        with gate.demand():
            await trio.sleep(end - start)

    async def wait() -> None:
        await trio.sleep(1)
        await gate.wait_quiet(0.5)
        quiet_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for start, end in ((0, 3), (2, 5), (5.3, 6)):
            nursery.start_soon(read, start, end)
        nursery.start_soon(wait)
    assert quiet_at == [6.5]


async def test_prefetch_goes_on_at_once(autojump_clock: MockClock) -> None:
    gate = DemandGate()
    with gate.demand(), trio.move_on_after(10) as waited:
        await gate.wait_quiet(0)
    assert waited.cancelled_caught
    await gate.wait_quiet(0)
    assert trio.current_time() == 10
    assert repr(gate) == "<DemandGate 0 waiting>"


async def test_who_will_soon_read_is_waited_for(autojump_clock: MockClock) -> None:
    gate = DemandGate()
    await trio.sleep(1)
    gate.expect_demand()
    await gate.wait_quiet(0)
    assert trio.current_time() == 1
    await gate.wait_quiet(2)
    assert trio.current_time() == 3


async def test_whether_it_is_quiet_is_known_without_waiting(autojump_clock: MockClock) -> None:
    gate = DemandGate()
    assert gate.is_quiet(0.5)
    with gate.demand():
        assert not gate.is_quiet(0.0)
    assert gate.is_quiet(0.0)
    assert not gate.is_quiet(0.5)
    await trio.sleep(0.5)
    assert gate.is_quiet(0.5)
