"""Seeing to it that somebody else holds the data server's connection, for as long as it is served.

A keeper that dies alone is noticed at once, and another one takes its place: until then this process holds the
connection itself, so nothing is lost.
"""

import logging
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fs.erofs import keeper
from fs.erofs.data_connection import DataConnection, keeper_socket, let_keep
from fs.erofs.fuse_protocol import Negotiated

_log = logging.getLogger(__name__)
# One that dies young is replaced after a pause, which doubles each time.
_YOUNG_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.5, 60.0


@asynccontextmanager
async def held_by_keeper(
    root: Path, connection: DataConnection, negotiated: Negotiated
) -> AsyncIterator[None]:
    """A keeper holds the connection for the time of a ``with`` block, and longer; the next one if it dies."""
    if connection.negotiated is None:
        await _replace(root, connection, negotiated)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_replace_dead, root, connection, negotiated)
        yield
        nursery.cancel_scope.cancel()


async def _replace_dead(root: Path, connection: DataConnection, negotiated: Negotiated) -> None:
    pause = 0.0
    while True:
        begin = trio.current_time()
        await _wait_dead(root)
        if trio.current_time() - begin > _YOUNG_SECONDS:
            pause = 0.0
        await trio.sleep(pause)
        pause = min(max(_FIRST_PAUSE_SECONDS, 2 * pause), _LAST_PAUSE_SECONDS)
        if await _replace(root, connection, negotiated):
            _log.warning("the keeper was gone; another one holds the connection now")


async def _wait_dead(root: Path) -> None:
    """Returns when there is no keeper, or one of an older version, which cannot be watched."""
    watched: socket.socket | None = await trio.to_thread.run_sync(keeper.watch, keeper_socket(root))
    if watched is not None:
        with watched:
            await trio.lowlevel.wait_readable(watched)


async def _replace(root: Path, connection: DataConnection, negotiated: Negotiated) -> bool:
    try:
        await trio.to_thread.run_sync(let_keep, root, connection, negotiated)
    except (OSError, subprocess.CalledProcessError) as error:
        fields = {"error": str(error)}
        _log.warning("no keeper: readers fail if this ends", extra={"fields": fields})
        return False
    return True
