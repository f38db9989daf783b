"""The data server between a real kernel and a registry: what EROFS reads is what the registry has."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from fs.erofs.data_server import DataServer, DataServerSettings
from fs.errors import StaleLayerError
from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.mounting import mount_fuse, unmount_lazily
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_state import Fault
from tests.fs.in_process import CONTENT, layer_table

pytestmark = pytest.mark.fuse


async def no_layer(node: int) -> Layer:
    raise AssertionError(node)


@asynccontextmanager
async def connection(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    mountpoint = tmp_path / "data"
    mountpoint.mkdir()
    descriptor = await trio.to_thread.run_sync(mount_fuse, "data", mountpoint)
    try:
        yield descriptor, mountpoint
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(unmount_lazily, mountpoint)
        os.close(descriptor)


async def read(path: Path) -> bytes:
    return await trio.to_thread.run_sync(path.read_bytes)


async def test_content_is_fetched_and_then_served_from_disk(
    source: LayerSource, tmp_path: Path
) -> None:
    async with (
        layer_table(tmp_path / "layers") as table,
        connection(tmp_path) as (descriptor, mountpoint),
        DataServer(descriptor, negotiated=None, find=no_layer) as server,
    ):
        layer = await table.attach(source)
        server.serve(layer)
        assert (await server.wait_negotiated()).can_resend
        file = mountpoint / source.digest.file_name
        assert await read(file) == CONTENT
        requests = layer.statistics().requests
        assert await read(file) == CONTENT
        assert layer.statistics().requests == requests
        status = await trio.to_thread.run_sync(file.stat)
        assert (status.st_size, oct(status.st_mode)) == (len(CONTENT), "0o100400")
        await trio.to_thread.run_sync(unmount_lazily, mountpoint)


@pytest.fixture
def stalled(fake: FakeRegistry) -> FakeRegistry:
    """A registry whose content comes only once the fault is cleared."""
    fake.faults.inject(Fault.STALLED, times=1000, after=1)  # the TOC comes
    return fake


async def test_who_waits_too_long_is_told(
    source: LayerSource, stalled: FakeRegistry, tmp_path: Path
) -> None:
    settings = DataServerSettings(deadline_seconds=0.1)
    async with (
        layer_table(tmp_path / "layers") as table,
        connection(tmp_path) as (descriptor, mountpoint),
        DataServer(descriptor, negotiated=None, find=no_layer, settings=settings) as server,
    ):
        server.serve(await table.attach(source))
        with pytest.raises(OSError, match="Input/output error"):
            await read(mountpoint / source.digest.file_name)
        stalled.faults.clear()
        assert await read(mountpoint / source.digest.file_name) == CONTENT
        await trio.to_thread.run_sync(unmount_lazily, mountpoint)


async def test_who_gives_up_does_not_wait_for_the_registry(
    source: LayerSource, stalled: FakeRegistry, tmp_path: Path
) -> None:
    async with (
        layer_table(tmp_path / "layers") as table,
        connection(tmp_path) as (descriptor, mountpoint),
        DataServer(descriptor, negotiated=None, find=no_layer) as server,
    ):
        server.serve(await table.attach(source))
        reader = await trio.lowlevel.open_process(["cat", mountpoint / source.digest.file_name])
        await trio.to_thread.run_sync(stalled.faults.wait_stalled)
        reader.kill()
        with trio.fail_after(20):
            await reader.wait()
        stalled.faults.clear()
        await trio.to_thread.run_sync(unmount_lazily, mountpoint)


async def test_a_successor_answers_what_was_left(
    source: LayerSource, stalled: FakeRegistry, tmp_path: Path
) -> None:
    async with (
        layer_table(tmp_path / "layers") as table,
        connection(tmp_path) as (descriptor, mountpoint),
        trio.open_nursery() as nursery,
    ):
        contents: list[bytes] = []

        async def reader() -> None:
            contents.append(await read(mountpoint / source.digest.file_name))

        layer = await table.attach(source)

        async def find(node: int) -> Layer:
            return layer

        async with DataServer(descriptor, negotiated=None, find=no_layer) as server:
            server.serve(layer)
            negotiated = await server.wait_negotiated()
            nursery.start_soon(reader)
            await trio.to_thread.run_sync(stalled.faults.wait_stalled)
        assert contents == []
        stalled.faults.clear()
        async with DataServer(descriptor, negotiated=negotiated, find=find):
            with trio.fail_after(20):
                while not contents:
                    await trio.lowlevel.checkpoint()
            await trio.to_thread.run_sync(unmount_lazily, mountpoint)
        assert contents == [CONTENT]


async def test_a_layer_that_is_forgotten_cannot_be_read(
    source: LayerSource, tmp_path: Path
) -> None:
    async def find(node: int) -> Layer:
        raise StaleLayerError(str(node))

    async with (
        layer_table(tmp_path / "layers") as table,
        connection(tmp_path) as (descriptor, mountpoint),
        DataServer(descriptor, negotiated=None, find=find) as server,
    ):
        server.serve(await table.attach(source))
        path = mountpoint / source.digest.file_name
        file = await trio.to_thread.run_sync(path.open, "rb")
        server.forget(source.digest)
        with pytest.raises(OSError, match="Stale file handle"):
            await trio.to_thread.run_sync(file.read)
        file.close()
        assert not await trio.to_thread.run_sync(path.exists)
        await trio.to_thread.run_sync(unmount_lazily, mountpoint)
        assert "0 files" in repr(server)


async def test_a_connection_that_cannot_be_read_ends_the_server(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a directory
    try:
        with trio.fail_after(20), pytest.RaisesGroup(IsADirectoryError):
            async with DataServer(descriptor, negotiated=None, find=no_layer):
                await trio.sleep_forever()
    finally:
        os.close(descriptor)
