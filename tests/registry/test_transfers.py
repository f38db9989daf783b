import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from registry.counters import Counters
from registry.transfer import MAX_BUFFERED_BYTES, Problem, Transfer, TransferError
from registry.transfers import Route, Transfers
from tests.fakes.registry import FakeRegistry, Fault

DATA = os.urandom(2 << 20)
ROUTE = Route()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def transfers(counters) -> AsyncIterator[Transfers]:
    async with Transfers(max_connections=8, counters=counters) as transfers:
        yield transfers
        assert repr(transfers).startswith("<Transfers 0 under way")


def _url(fake: FakeRegistry, data: bytes = DATA) -> str:
    return f"http://{fake.host}/v2/a/blobs/{fake.add_blob('a', data)}"


async def _read(transfer: Transfer) -> bytes:
    with transfer:
        await transfer.wait_headers()
        pieces = []
        while piece := await transfer.receive():
            pieces.append(piece)
    return b"".join(pieces)


async def test_connections_are_used_again(transfers, counters, fake):
    for number in range(5):
        headers = {"Range": f"bytes={number}-{number + 9}"}
        transfer = transfers.start("GET", _url(fake), headers, ROUTE)
        assert await _read(transfer) == DATA[number : number + 10]
        assert transfer.status == 206
    assert counters.connections == 1


async def test_transfers_go_on_side_by_side(transfers, counters, fake):
    got: list[bytes] = []

    async def read() -> None:
        got.append(await _read(transfers.start("GET", _url(fake), {}, ROUTE)))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(read)
    assert got == [DATA] * 8
    assert counters.connections == 8


async def test_who_does_not_take_what_came_gets_no_more(transfers, fake):
    with transfers.start("GET", _url(fake), {}, ROUTE) as transfer:
        await transfer.wait_headers()
        await trio.testing.wait_all_tasks_blocked(cushion=0.05)
        first = await transfer.receive()
        assert len(first) < 2 * MAX_BUFFERED_BYTES
        assert first + await _read(transfer) == DATA


@pytest.mark.parametrize("fault", [None, Fault.STALLED])
async def test_one_that_is_left_costs_its_connection_at_most(transfers, counters, fake, fault):
    if fault is not None:
        fake.faults.inject(fault)
    with transfers.start("GET", _url(fake), {}, ROUTE) as transfer:
        await transfer.wait_headers()
    fake.faults.clear()
    assert await _read(transfers.start("GET", _url(fake), {}, ROUTE)) == DATA
    assert counters.connections == 2


async def test_nothing_is_left_open(fake, counters):
    before = _epoll_sets()
    async with Transfers(max_connections=8, counters=counters) as transfers:
        left = transfers.start("GET", _url(fake), {}, ROUTE)
        await left.wait_headers()
        await _read(transfers.start("GET", _url(fake), {}, ROUTE))
    assert _epoll_sets() == before
    with pytest.raises(TransferError, match="closed"):
        await _read(left)


def _epoll_sets() -> int:
    targets = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(path.readlink()))
    return sum(target.startswith("anon_inode:[eventpoll]") for target in targets)


async def test_who_leaves_with_an_error_leaves_with_that_error(counters):
    with pytest.raises(ZeroDivisionError):
        async with Transfers(max_connections=8, counters=counters):
            raise ZeroDivisionError


async def test_cancelled_around_its_block(counters, fake):
    with trio.CancelScope() as scope:
        async with Transfers(max_connections=8, counters=counters) as transfers:
            with transfers.start("GET", _url(fake), {}, ROUTE) as transfer:
                scope.cancel()
                await transfer.wait_headers()
    assert scope.cancelled_caught


async def test_a_server_that_stays_silent(transfers, fake):
    fake.faults.inject(Fault.STALLED)
    route = Route(silence_seconds=0.05)
    with pytest.raises(TransferError) as caught:
        await _read(transfers.start("GET", _url(fake), {}, route))
    fake.faults.clear()
    assert caught.value.problem is Problem.SILENT


async def test_names_are_looked_up(transfers, fake):
    url = _url(fake).replace("127.0.0.1", "localhost")
    assert await _read(transfers.start("GET", url, {}, ROUTE)) == DATA


async def test_nobody_there(transfers):
    with FakeRegistry() as gone:
        url = f"http://{gone.host}/"
    with (
        transfers.start("GET", url, {}, ROUTE) as transfer,
        pytest.raises(TransferError, match="Connection refused") as caught,
    ):
        await transfer.wait_headers()
    assert caught.value.problem is Problem.UNREACHABLE


async def test_what_the_environment_says_about_proxies_is_not_for_here(
    transfers, fake, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await _read(transfers.start("GET", _url(fake), {}, ROUTE)) == DATA


async def test_a_proxy_is_asked_for_the_whole_url(transfers, fake):
    route = Route(proxy=f"http://{fake.host}")
    digest = fake.add_blob("a", DATA)
    transfer = transfers.start("GET", f"http://registry.test/v2/a/blobs/{digest}", {}, route)
    assert await _read(transfer) == DATA
