"""The daemon that containerd calls. Starting, stopping or killing it touches no mount and no container."""

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

from snapshotter.config import ServeSettings
from snapshotter.directories import SnapshotDirectories
from snapshotter.errors import FsServerError, StartupError
from snapshotter.fs_client import FsClient
from snapshotter.fs_process import FsProcess, FsProcessSettings
from snapshotter.lazy_layers import LazyLayers
from snapshotter.notify import notify
from snapshotter.overlay_probe import check_overlay
from snapshotter.proto import snapshots_pb2_grpc
from snapshotter.records import SnapshotRecords
from snapshotter.service import SnapshotsService
from snapshotter.snapshots import Snapshots
from snapshotter.unix_socket import Process, is_listening, listening

_log = logging.getLogger(__name__)
# Each waits at most for one layer to be opened; containerd asks for few at a time.
_THREADS = 64
_GRACE_SECONDS = 5.0
_STOP_SECONDS = 20.0


def serve(settings: ServeSettings) -> int:
    """Serves containerd until SIGTERM or SIGINT; returns the exit code.

    Raises:
        StartupError: it cannot start here.
        FsServerError: the fs server cannot be started.
        RecordsError: the database cannot be used.
        OSError: a directory or socket cannot be made.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        _check_privileges()
        stack.enter_context(_owned_root(settings))
        check_overlay(settings.snapshotter_root)
        fs_process = FsProcess(_fs_process_settings(settings))
        fs_process.ensure_running()
        # Left in reverse: calls under way lose their fs server, end, and only then the database is closed.
        records = stack.enter_context(SnapshotRecords(settings.snapshotter_root / "snapshots.db"))
        threads = stack.enter_context(ThreadPoolExecutor(_THREADS, "containerd"))
        client = stack.enter_context(FsClient(settings.fs_socket, fs_process.ensure_running))
        if settings.foreground_fs:
            stack.callback(client.stop)
        service = SnapshotsService(_repaired_snapshots(settings, records, client))
        stack.enter_context(_listening(settings.address, service, threads))
        _log.info("serving", extra={"fields": {"address": str(settings.address)}})
        notify("READY=1")
        stop.wait()
        notify("STOPPING=1")
        _log.info("stopping; layers stay mounted")
    return 0


def stop(settings: ServeSettings) -> None:
    """Ends the daemon and the fs server, which unmounts all layers; what does not run is no error.

    Raises:
        FsServerError: one of them does not end.
        OSError: a socket may not be opened.
    """
    with listening(settings.address) as daemon:
        if daemon is not None:
            daemon.terminate()
            _wait_for_end(daemon)
    with listening(settings.fs_socket) as server:
        if server is not None:
            with FsClient(settings.fs_socket, lambda: False) as client:
                client.stop()
            _wait_for_end(server)


def _wait_for_end(process: Process) -> None:
    if not process.wait(timeout_seconds=_STOP_SECONDS):
        raise FsServerError(f"process {process.pid} does not end; its log may tell why")


def _check_privileges() -> None:
    if os.geteuid() != 0:
        raise StartupError("mounting needs root", "run this command as root")


def _fs_process_settings(settings: ServeSettings) -> FsProcessSettings:
    return FsProcessSettings(
        root=settings.fs_root,
        socket=settings.fs_socket,
        log=settings.fs_log,
        log_level=settings.log_level,
        detached=not settings.foreground_fs,
        filling=settings.filling,
    )


@contextmanager
def _owned_root(settings: ServeSettings) -> Iterator[None]:
    """Holds the root for this process alone; the kernel lets go of it when the process ends."""
    for directory in (settings.root, settings.snapshotter_root):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    with (settings.snapshotter_root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartupError(
                f"another snapshotter already uses {settings.root}",
                "stop it, or choose another --root",
            ) from error
        yield


def _repaired_snapshots(
    settings: ServeSettings, records: SnapshotRecords, client: FsClient
) -> Snapshots:
    directories = SnapshotDirectories(settings.snapshotter_root)
    snapshots = Snapshots(records, directories, LazyLayers(records, directories, client))
    snapshots.repair()
    return snapshots


@contextmanager
def _listening(
    address: Path, service: SnapshotsService, threads: ThreadPoolExecutor
) -> Iterator[None]:
    """Serves on a unix socket that only its owner may open."""
    if is_listening(address):
        raise StartupError(
            f"another process listens on {address}", "stop it, or choose another --address"
        )
    if not address.parent.exists():
        address.parent.mkdir(mode=0o700, parents=True)
    address.unlink(missing_ok=True)
    server = grpc.server(threads)
    snapshots_pb2_grpc.add_SnapshotsServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{address}")
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {address}", str(error)) from error
    finally:
        os.umask(mask)
    server.start()
    try:
        yield
    finally:
        server.stop(_GRACE_SECONDS).wait()
        address.unlink(missing_ok=True)
