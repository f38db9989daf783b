"""Starting the fs server again as soon as it dies: containers may wait for it, though nobody calls."""

import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapshotter.errors import FsServerError
from snapshotter.fs_process import FsProcess
from snapshotter.unix_socket import listening

_log = logging.getLogger(__name__)
# One that dies young is started again after a pause, which doubles each time.
_YOUNG_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.5, 30.0


@contextmanager
def kept_running(process: FsProcess, socket: Path) -> Iterator[None]:
    """Watches the fs server for the time of a ``with`` block, whoever started it.

    Args:
        process: starts it.
        socket: its control socket.
    """
    wake = os.eventfd(0)
    thread = threading.Thread(target=_watch, args=(process, socket, wake), name="fs-watch")
    thread.start()
    try:
        yield
    finally:
        os.eventfd_write(wake, 1)
        thread.join()
        os.close(wake)


def _watch(process: FsProcess, socket: Path, wake: int) -> None:
    pause = 0.0
    while True:
        begin = time.monotonic()
        with listening(socket) as server:
            if server is not None and not server.wait_unless(wake):
                return
        if time.monotonic() - begin > _YOUNG_SECONDS:
            pause = 0.0
        if _is_woken(wake, pause):
            return
        pause = min(max(_FIRST_PAUSE_SECONDS, 2 * pause), _LAST_PAUSE_SECONDS)
        try:
            process.ensure_running()
        except FsServerError as error:
            fields = {"error": str(error), "again_in_seconds": pause}
            _log.error("fs server is not there", extra={"fields": fields})


def _is_woken(wake: int, timeout_seconds: float) -> bool:
    poller = select.poll()
    poller.register(wake, select.POLLIN)
    return bool(poller.poll(timeout_seconds * 1000))
