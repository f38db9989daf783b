"""Against a real containerd."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from registry.digest import Digest
from snapshotter.containerd_client import PIECE_BYTES, ContainerdAddress, ContainerdClient
from snapshotter.containerd_errors import (
    ContainerdError,
    ContainerdNotFoundError,
    ContainerdUnreachableError,
)
from snapshotter.proto import descriptor_pb2
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import Ctr

pytestmark = pytest.mark.containerd

DATA = bytes(range(256)) * 5000
DIGEST = Digest.of(DATA)
ROOTED = {"containerd.io/gc.root": "2026-01-01T00:00:00Z"}


def _pieces(data: bytes) -> Callable[[int], AsyncIterator[bytes]]:
    async def pieces(start: int) -> AsyncGenerator[bytes, None]:
        for offset in range(start, len(data), PIECE_BYTES):
            yield data[offset : offset + PIECE_BYTES]

    return pieces


async def _read(client: ContainerdClient, **wanted: int) -> bytes:
    async with client.read(DIGEST, **wanted) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.fixture
async def client(containerd_address: ContainerdAddress) -> AsyncGenerator[ContainerdClient, None]:
    async with ContainerdClient(containerd_address) as client:
        yield client


async def test_content_comes_back(client: ContainerdClient) -> None:
    assert await client.blob_bytes(DIGEST) is None
    await client.write(DIGEST, len(DATA), _pieces(DATA), labels={})
    assert await client.blob_bytes(DIGEST) == len(DATA)
    assert await _read(client) == DATA
    assert await _read(client, start=100, length=1000) == DATA[100:1100]


async def test_wrong_content_is_refused_and_not_there(client: ContainerdClient) -> None:
    digest = Digest.of(b"right")
    with pytest.raises(ContainerdError, match="digest"):
        await client.write(digest, 5, _pieces(b"wrong"), labels={})
    with pytest.raises(ContainerdError):
        await client.write(digest, 5, _pieces(b"righ"), labels={})
    assert await client.blob_bytes(digest) is None
    await client.write(digest, 5, _pieces(b"right"), labels={})


async def test_content_that_is_there_is_only_labelled(
    client: ContainerdClient, containerd_address: ContainerdAddress, ctr: Ctr
) -> None:
    await client.write(DIGEST, len(DATA), _pieces(DATA), labels={"a": "1", "b": "2"})
    await client.write(DIGEST, len(DATA), _pieces(b"never asked for"), labels={"b": "3"})
    assert "a=1,b=3" in _labels(ctr)
    elsewhere = ContainerdAddress(
        containerd_address.socket, f"{containerd_address.namespace}-other"
    )
    async with ContainerdClient(elsewhere) as other:
        # containerd has it for another namespace, and takes that.
        await other.write(DIGEST, len(DATA), _pieces(DATA), labels={})
        assert await _read(other) == DATA


def _labels(ctr: Ctr) -> str:
    return ",".join(sorted(ctr("content", "ls").split()[-1].split(",")))


async def test_what_nobody_wants_goes_with_the_lease(
    containerd_address: ContainerdAddress, ctr: Ctr
) -> None:
    other = Digest.of(b"")
    async with ContainerdClient(containerd_address) as client:
        await client.write(DIGEST, len(DATA), _pieces(DATA), labels={})
        await client.write(other, 0, _pieces(b""), labels=ROOTED)
        with pytest.raises(ContainerdError):
            await client.write(Digest.of(b"?"), 9, _pieces(b"half"), labels={})
        assert "pyestargz-" in ctr("leases", "ls", "-q")
        _collect_garbage(ctr)
        assert ctr.content_digests() == {str(DIGEST), str(other)}
    assert ctr("leases", "ls", "-q") == ""
    _collect_garbage(ctr)
    assert ctr.content_digests() == {str(other)}
    assert "pyestargz-" not in ctr("content", "active")


def _collect_garbage(ctr: Ctr) -> None:
    ctr("leases", "create", "--id", "once")
    ctr("leases", "delete", "--sync", "once")


async def test_an_image_gets_a_name_and_then_another_content(
    client: ContainerdClient, ctr: Ctr
) -> None:
    with pytest.raises(ContainerdNotFoundError):
        await client.find_image("registry.test/a:1")
    first = descriptor_pb2.Descriptor(media_type="a/b", digest=str(Digest.of(b"1")), size=1)
    second = descriptor_pb2.Descriptor(media_type="a/b", digest=str(DIGEST), size=5)
    await client.name_image("registry.test/a:1", first)
    ctr("images", "label", "registry.test/a:1", "kept=yes")
    await client.name_image("registry.test/a:1", second)
    assert await client.find_image("registry.test/a:1") == second
    assert "kept=yes" in ctr("images", "ls", "name==registry.test/a:1")


async def test_nobody_answers(tmp_path: Path) -> None:
    async with ContainerdClient(ContainerdAddress(str(tmp_path / "none"), "default")) as client:
        with pytest.raises(ContainerdUnreachableError, match="--containerd-address"):
            await client.blob_bytes(DIGEST)
        assert "no lease" in repr(client)


async def test_a_cancelled_write_leaves_nothing(
    containerd_address: ContainerdAddress, ctr: Ctr
) -> None:
    data = DATA[1:]
    digest = Digest.of(data)
    async with ContainerdClient(containerd_address) as client:
        with trio.CancelScope() as scope:

            async def pieces(_start: int) -> AsyncGenerator[bytes, None]:
                yield data[:PIECE_BYTES]
                scope.cancel()
                await trio.sleep_forever()

            await client.write(digest, len(data), pieces, labels={})
        assert scope.cancelled_caught
        assert await client.blob_bytes(digest) is None
    _collect_garbage(ctr)
    assert "pyestargz-" not in ctr("content", "active")


async def _fail_without_containerd(containerd: Containerd) -> None:
    async with ContainerdClient(ContainerdAddress(str(containerd.socket), "test")) as client:
        await client.hold(DIGEST)
        containerd.stop()
        raise ZeroDivisionError


async def test_a_lease_that_cannot_be_ended_hides_no_error() -> None:
    with Containerd() as containerd, pytest.raises(ZeroDivisionError):
        await _fail_without_containerd(containerd)


async def test_a_lease_that_somebody_ended_is_no_error(
    containerd_address: ContainerdAddress, ctr: Ctr
) -> None:
    async with ContainerdClient(containerd_address) as client:
        await client.hold(DIGEST)
        ctr("leases", "delete", ctr("leases", "ls", "-q").strip())
