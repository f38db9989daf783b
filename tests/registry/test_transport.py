import contextlib
import dataclasses
import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from registry.counters import Counters
from registry.endpoints import Connection
from registry.errors import BadResponseError, RegistryError, UnreachableError, UntrustedError
from registry.transport import MAX_DRAINED_BYTES, Request, Transport
from tests.fakes.registry import FakeRegistry, Fault

DATA = bytes(range(256)) * 1024


def _url(fake: FakeRegistry) -> str:
    return f"http://{fake.host}/v2/a/blobs/{fake.add_blob('a', DATA)}"


async def test_one_request_one_response(fake, quick):
    counters = Counters()
    async with Transport(quick, counters) as transport:
        response = await transport.send(Request("GET", _url(fake)))
        assert (response.status, response.host) == (200, fake.host)
        assert response.header("content-length") == str(len(DATA))
        assert await response.read(len(DATA)) == DATA
        response.close()
    assert (counters.requests, counters.bytes_received) == (1, len(DATA))


async def test_bodies_are_bounded(fake, quick):
    async with Transport(quick, Counters()) as transport:
        response = await transport.send(Request("GET", _url(fake)))
        with pytest.raises(BadResponseError, match="more than 1000 bytes") as caught:
            await response.read(1000)
    assert not caught.value.retryable


async def test_discarding_reads_no_more_than_it_must(fake, quick):
    counters = Counters()
    async with Transport(quick, counters) as transport:
        response = await transport.send(Request("GET", _url(fake)))
        assert await response.discard() == DATA[:MAX_DRAINED_BYTES]
        assert await response.discard() == DATA[:MAX_DRAINED_BYTES]
        assert repr(response) == f"<Response 200 from {fake.host}>"


async def test_a_body_that_ends_early_is_a_bad_response(fake, quick):
    fake.faults.inject(Fault.SHORT_BODY)
    async with Transport(quick, Counters()) as transport:
        response = await transport.send(Request("GET", _url(fake)))
        with pytest.raises(BadResponseError):
            await response.read(len(DATA))


async def test_discarding_a_body_that_ends_early_is_no_failure(fake, quick):
    fake.faults.inject(Fault.SHORT_BODY)
    async with Transport(quick, Counters()) as transport:
        url = f"http://{fake.host}/v2/a/blobs/{fake.add_blob('a', b'short')}"
        assert await (await transport.send(Request("GET", url))).discard() == b""


async def test_no_answer_is_unreachable(fake, quick):
    fake.faults.inject(Fault.HUNG_UP)
    async with Transport(quick, Counters()) as transport:
        with pytest.raises(UnreachableError) as caught:
            await transport.send(Request("GET", _url(fake) + "?secret"))
    assert "secret" not in f"{caught.value}{caught.value!r}"


async def test_signed_urls_are_not_logged(fake, quick, caplog):
    caplog.set_level(logging.DEBUG)
    async with Transport(quick, Counters()) as transport:
        response = await transport.send(
            Request("GET", _url(fake) + "?secret", {"Authorization": "Bearer secret"})
        )
        response.close()
    assert "secret" not in caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("fault", [Fault.STALLED, Fault.HUNG_UP, Fault.SHORT_BODY, None])
async def test_whatever_happens_no_connection_stays_in_use(fake, quick, method, fault):
    async with Transport(quick, Counters()) as transport:
        for delay in (0.0, 0.001, 0.01):
            if fault is not None:
                fake.faults.inject(fault, kinds=("blob", "upload"))
            content = bytes(3 << 20) if method == "PUT" else None
            with trio.move_on_after(delay), contextlib.suppress(RegistryError):
                response = await transport.send(Request(method, _url(fake), content=content))
                try:
                    await response.read(len(DATA))
                finally:
                    response.close()
            fake.faults.clear()
        assert repr(transport) == "<Transport 0 of 128 connections in use>"


async def test_more_requests_than_connections_wait_for_each_other(fake, quick):
    settings = dataclasses.replace(quick, max_connections=2)
    url, sizes = _url(fake), []
    async with Transport(settings, Counters()) as transport:

        async def read() -> None:
            response = await transport.send(Request("GET", url))
            sizes.append(len(await response.read(len(DATA))))
            response.close()

        async with trio.open_nursery() as nursery:
            for _ in range(7):
                nursery.start_soon(read)
    assert sizes == [len(DATA)] * 7


async def test_who_waits_for_a_connection_does_not_wait_for_ever(fake, quick):
    settings = dataclasses.replace(quick, max_connections=1, inactivity_timeout_seconds=0.01)
    async with Transport(settings, Counters()) as transport:
        response = await transport.send(Request("GET", _url(fake)))
        with pytest.raises(UnreachableError, match="busy"):
            await transport.send(Request("GET", _url(fake)))
        response.close()


async def test_a_url_that_is_none_is_unreachable(quick):
    async with Transport(quick, Counters()) as transport:
        with pytest.raises(UnreachableError) as caught:
            await transport.send(Request("GET", "http://127.0.0.1:port/"))
    assert not caught.value.retryable


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999999999999999999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        OK,
        OK + b"Content-Length: -5\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"X: " + b"x" * (2 << 20) + b"\r\n\r\n",
        OK + b"X: x\r\n" * 50_000 + b"\r\n",
        OK + b"\0\0: \0\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length : 3\r\n : x\r\n\r\nabc",
    ],
)
async def test_whatever_a_server_sends_the_client_lives_on(quick, answer):
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_saying(answer))
        async with Transport(quick, Counters()) as transport:
            with contextlib.suppress(RegistryError):
                response = await transport.send(Request("GET", url))
                stack.callback(response.close)
                assert len(await response.read(10)) <= 10
                response.header("Content-Length")
            stack.close()
            assert repr(transport) == "<Transport 0 of 128 connections in use>"


@contextlib.contextmanager
def _saying(answer: bytes) -> Iterator[str]:
    """A server that says one thing, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_say, args=(listener, answer))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _say(listener: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)


@pytest.fixture
def unknown_certificate_url(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate nobody vouches for."""
    paths = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", *paths]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection, context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)


async def test_an_unknown_certificate_is_not_tried_again(unknown_certificate_url, quick):
    async with Transport(quick, Counters()) as transport:
        with pytest.raises(UntrustedError, match="certificate") as caught:
            await transport.send(Request("GET", unknown_certificate_url))
    assert not caught.value.retryable


async def test_a_certificate_that_is_gone_is_told(tmp_path, quick):
    connection = Connection(ca_files=(tmp_path / "gone.crt",))
    async with Transport(quick, Counters()) as transport:
        with pytest.raises(UnreachableError, match=r"gone\.crt cannot be used for TLS"):
            await transport.send(Request("GET", "https://127.0.0.1:1/", connection=connection))
