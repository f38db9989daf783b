from collections.abc import Iterator

import pycurl
import pytest
import trio
import trio.testing

from registry.transfer import (
    MAX_BUFFERED_BYTES,
    SILENCE_CHECKS,
    Problem,
    Transfer,
    TransferError,
    describe_failure,
)


@pytest.fixture
def easy() -> Iterator[pycurl.Curl]:
    easy = pycurl.Curl()
    yield easy
    easy.close()


@pytest.fixture
def ended() -> list[pycurl.Curl]:
    return []


@pytest.fixture
def transfer(easy, ended) -> Transfer:
    return Transfer(easy, ended.append, silence_seconds=10)


def _answer(transfer: Transfer, *lines: bytes) -> None:
    for line in (*lines, b""):
        transfer.on_header(line + b"\r\n")


async def test_interim_responses_are_not_the_answer(transfer):
    _answer(transfer, b"HTTP/1.1 100 Continue", b"Early: 1")
    _answer(transfer, b"HTTP/1.1 103 Early Hints")
    _answer(transfer, b"HTTP/2 206", b"Content-Range:  bytes 0-1/2 ", b"Via: a", b"via: b")
    await transfer.wait_headers()
    assert transfer.status == 206
    _answer(transfer, b"Content-Range: bytes 5-6/7")  # a trailer
    assert transfer.headers == {"content-range": "bytes 0-1/2", "via": "a, b"}


async def test_what_came_is_taken_before_the_end_and_before_an_error(transfer):
    for piece in (b"a", b"b"):
        assert transfer.on_body(piece) is None
    transfer.finish(TransferError(Problem.CUT, "cut"))
    assert await transfer.receive() == b"ab"
    with pytest.raises(TransferError, match="cut"):
        await transfer.receive()


async def test_the_end_stays_the_end(transfer):
    transfer.finish(None)
    transfer.finish(TransferError(Problem.CUT, "too late"))
    assert [await transfer.receive(), await transfer.receive()] == [b"", b""]


async def test_an_end_without_headers_is_no_answer(transfer):
    transfer.finish(None)
    with pytest.raises(TransferError) as caught:
        await transfer.wait_headers()
    assert caught.value.problem is Problem.CUT


def test_more_than_the_limit_is_left_to_the_library(transfer):
    assert transfer.on_body(bytes(MAX_BUFFERED_BYTES)) is None
    assert transfer.on_body(b"more") == pycurl.WRITEFUNC_PAUSE


async def test_silence_has_an_end(transfer):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait_in_vain, transfer)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(SILENCE_CHECKS + 1):
            transfer.check_silence()


async def _wait_in_vain(transfer: Transfer) -> None:
    with pytest.raises(TransferError, match="silent") as caught:
        await transfer.wait_headers()
    assert caught.value.problem is Problem.SILENT


async def test_who_does_not_listen_is_not_told_of_silence(transfer):
    for _ in range(SILENCE_CHECKS + 1):
        transfer.check_silence()
    _answer(transfer, b"HTTP/1.1 200 OK")
    await transfer.wait_headers()


async def test_a_body_goes_piece_by_piece(transfer):
    sent: list[bytes | int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer.send, b"abc")
        await trio.testing.wait_all_tasks_blocked()
        sent += [transfer.on_send(2), transfer.on_send(9)]
    transfer.end_body()
    assert [*sent, transfer.on_send(9)] == [b"ab", b"c", b""]


def test_a_body_that_is_not_there_yet_is_waited_for(transfer):
    assert transfer.on_send(9) == pycurl.READFUNC_PAUSE


async def test_an_early_answer_ends_the_body(transfer):
    _answer(transfer, b"HTTP/1.1 401 Unauthorized")
    assert not await transfer.send(b"nobody wants this")


def test_closing_ends_it_once(transfer, easy, ended):
    with transfer:
        transfer.close()
    assert ended == [easy]
    assert repr(transfer) == "<Transfer no status, finished>"


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (pycurl.E_PARTIAL_FILE, Problem.CUT),
        (pycurl.E_OPERATION_TIMEDOUT, Problem.CONNECTING_SLOW),
        (pycurl.E_PEER_FAILED_VERIFICATION, Problem.UNTRUSTED),
        (pycurl.E_URL_MALFORMAT, Problem.UNUSABLE_URL),
        (pycurl.E_COULDNT_RESOLVE_HOST, Problem.UNREACHABLE),
    ],
)
def test_results_of_the_library(easy, number, problem):
    assert describe_failure(easy, number, "why").problem is problem
