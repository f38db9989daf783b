"""A keeper that dies alone, and who takes its place."""

import os
import signal
from pathlib import Path

import pytest
import trio

from fs.erofs import keeper
from fs.erofs.data_connection import DataConnection, keeper_socket
from fs.erofs.fuse_protocol import HAS_RESEND, Negotiated
from fs.erofs.kept_connection import held_by_keeper
from tests.e2e.leftovers import processes_under, wait_for_exit

NEGOTIATED = Negotiated(38, HAS_RESEND)


async def wait_held(root: Path) -> int:
    """The keeper's process, once there is one that holds something."""
    with trio.fail_after(20):
        while (kept := keeper.kept(keeper_socket(root))) is None:
            await trio.lowlevel.checkpoint()
    os.close(kept.descriptor)
    (pid,) = processes_under(root)
    return pid


async def test_another_one_takes_the_place_of_one_that_died(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    descriptor = os.open(os.devnull, os.O_RDWR)
    connection = DataConnection(descriptor, None)
    async with held_by_keeper(tmp_path, connection, NEGOTIATED):
        first = await wait_held(tmp_path)
        os.kill(first, signal.SIGKILL)
        assert await trio.to_thread.run_sync(lambda: wait_for_exit([first], deadline_seconds=10))
        assert await wait_held(tmp_path) != first
    assert any("another one holds" in record.message for record in caplog.records)
    os.close(descriptor)
    last = processes_under(tmp_path)
    keeper.end(keeper_socket(tmp_path))
    assert wait_for_exit(last, deadline_seconds=10)


async def test_there_can_be_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "absent"
    async with held_by_keeper(root, DataConnection(0, None), NEGOTIATED):
        pass
    assert any("no keeper" in record.message for record in caplog.records)
