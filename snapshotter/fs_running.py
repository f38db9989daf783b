"""The fs server of a daemon: started or told anew, kept running, stopped."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fs.erofs.descriptor_store import STORED_NAME
from fs.service_manager import take_held
from fs.settings import write_settings
from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError, StartupError
from snapshotter.former_mounts import unmount_below
from snapshotter.fs_client import FsClient
from snapshotter.fs_process import FsProcess, FsProcessSettings
from snapshotter.fs_watch import kept_running
from snapshotter.unix_socket import Process, listening

_log = logging.getLogger(__name__)
_STOP_SECONDS = 60.0  # of a machine that is very busy


def check_privileges() -> None:
    """Checks that layers can be mounted.

    Raises:
        StartupError: this is not root.
    """
    if os.geteuid() != 0:
        raise StartupError(
            "mounting needs root",
            "run this command as root, or as root of a user namespace (in RootlessKit's)",
        )


@contextmanager
def running_fs_server(settings: ServeSettings) -> Iterator[FsProcess]:
    """Sees to it that an fs server with these settings runs, for the time of a ``with`` block; it runs on afterwards.

    Raises:
        FsServerError: it cannot be started.
        OSError: the disk is full or broken.
    """
    write_settings(settings.fs_settings_file, settings.fs)
    process = FsProcess(
        FsProcessSettings(
            root=settings.fs_root,
            socket=settings.fs_socket,
            log=settings.fs_log,
            settings_file=settings.fs_settings_file,
            detached=not settings.foreground_fs,
        ),
        take_held(STORED_NAME, os.environ),
    )
    if not process.ensure_running():
        reload_fs_server(settings)
    with kept_running(process, settings.fs_socket):
        yield process


def reload_fs_server(settings: ServeSettings) -> None:
    """Lets it read its settings again; one that does not keeps what it has, which is logged."""
    try:
        with FsClient(settings.fs_socket, lambda: False) as client:
            client.reload()
    except FsServerError as error:
        # One of an older version, or one that just ended: its successor reads the file.
        fields = {"error": str(error)}
        _log.warning("fs server keeps its settings", extra={"fields": fields})


def stop_fs_server(settings: ServeSettings) -> None:
    """Ends it, which unmounts all layers; one that does not run is no error.

    Raises:
        FsServerError: it does not end.
        OSError: its socket may not be opened.
    """
    # What shows layers with mapped owners would keep them mounted.
    unmount_below(settings.snapshotter_root)
    with listening(settings.fs_socket) as server:
        if server is not None:
            with FsClient(settings.fs_socket, lambda: False) as client:
                try:
                    client.stop()
                except FsServerError:
                    server.send(
                        signal.SIGTERM
                    )  # it is ending already, or its socket is out of order
            wait_until_gone(server)


def stop_daemon(address: Path) -> None:
    """Ends the daemon that listens on a socket; one that does not run is no error.

    Raises:
        FsServerError: it does not end.
        OSError: the socket may not be opened.
    """
    with listening(address) as daemon:
        if daemon is not None:
            daemon.send(signal.SIGTERM)
            wait_until_gone(daemon)


def wait_until_gone(process: Process) -> None:
    """Returns when a process that was told to end has.

    Raises:
        FsServerError: it does not.
    """
    if not process.wait(timeout_seconds=_STOP_SECONDS):
        process.send(signal.SIGUSR2)  # whereupon it logs where each of its threads is
        raise FsServerError(f"process {process.pid} does not end; its log may tell why")
