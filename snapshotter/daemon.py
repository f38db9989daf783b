"""The daemon that containerd calls. Starting, stopping or killing it touches no mount and no container."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

from fs.settings import write_settings
from snapshotter.config import ServeSettings
from snapshotter.cri_proxy import CriProxy
from snapshotter.directories import SnapshotDirectories
from snapshotter.errors import ConfigError
from snapshotter.fs_client import FsClient
from snapshotter.fs_process import FsProcess
from snapshotter.fs_running import (
    check_privileges,
    reload_fs_server,
    running_fs_server,
    stop_daemon,
    stop_fs_server,
)
from snapshotter.grpc_server import serving_alone, serving_containerd
from snapshotter.lazy_layers import LazyLayers
from snapshotter.metrics import DaemonMetrics
from snapshotter.notify import notify, notify_reloading
from snapshotter.overlay_probe import check_overlay
from snapshotter.records import SnapshotRecords
from snapshotter.root_lock import held_alone
from snapshotter.service import SnapshotsService
from snapshotter.signals import ReceivedSignals, received
from snapshotter.snapshots import Snapshots
from snapshotter.verdicts import Verdicts
from snapshotter.watching import watched

_log = logging.getLogger(__name__)
# Each waits at most for one layer to be opened; containerd asks for few at a time.
_THREADS = 64
# Each hands on one call of the kubelet's, most of them short; a node pulls few images at a time.
_PULL_THREADS = 192


def serve(settings: ServeSettings, read: Callable[[], ServeSettings]) -> int:
    """Serves containerd until SIGTERM, or SIGINT, which ends the fs server too; returns the exit code.

    Args:
        settings: How to run.
        read: Reads the settings anew; called on SIGHUP.

    Raises:
        StartupError: it cannot start here.
        FsServerError: the fs server cannot be started.
        RecordsError: the database cannot be used.
        OSError: a directory or socket cannot be made.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(received(signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        check_privileges()
        stack.enter_context(_owned_root(settings))
        overlay_options = check_overlay(settings.snapshotter_root)
        fs_process = stack.enter_context(running_fs_server(settings))
        _serve_all(settings, fs_process, stack, overlay_options)
        _log.info("serving", extra={"fields": {"address": str(settings.address)}})
        notify("READY=1")
        number = _wait_for_end(signals, lambda: _reload(settings, read))
        notify("STOPPING=1")
        ends_fs = number is signal.SIGINT or settings.foreground_fs
        _log.info("stopping" if ends_fs else "stopping; layers stay mounted")
    if ends_fs:
        stop_fs_server(settings)
    return 0


def _serve_all(
    settings: ServeSettings,
    fs_process: FsProcess,
    stack: ExitStack,
    overlay_options: tuple[str, ...],
) -> None:
    """Serves everything that is to be served, until the stack is left.

    It is left in reverse: calls under way lose their fs server, end, and only then the databases are closed.
    """
    records = stack.enter_context(SnapshotRecords(settings.records_file))
    verdicts = stack.enter_context(Verdicts(settings.verdicts_file))
    shares = settings.cri is not None and settings.cri.listen is None
    count = _THREADS + (_PULL_THREADS if shares else 0)
    threads = stack.enter_context(ThreadPoolExecutor(count, "containerd"))
    client = stack.enter_context(FsClient(settings.fs_socket, fs_process.ensure_running))
    # Who watches starts nothing.
    watcher = stack.enter_context(FsClient(settings.fs_socket, lambda: False))
    metrics = DaemonMetrics(watcher.status, verdicts.counts)
    directories = SnapshotDirectories(settings.snapshotter_root)
    layers = LazyLayers(records, directories, client)
    snapshots = Snapshots(records, directories, layers, verdicts, overlay_options)
    snapshots.repair()
    image_services = []
    if settings.cri is not None:
        learn = client.pass_credentials
        proxy = stack.enter_context(CriProxy(settings.cri.image_service, learn))
        if settings.cri.listen is None:
            image_services.append(proxy)
        else:
            # Pulls wait for calls of containerd's: they must not take the last thread from these.
            pulls = stack.enter_context(ThreadPoolExecutor(_PULL_THREADS, "cri"))
            stack.enter_context(serving_alone(settings.cri.listen, proxy, pulls))
    service, observe = SnapshotsService(snapshots), metrics.observe_call
    serving = serving_containerd(settings.address, service, threads, observe, image_services)
    stack.enter_context(serving)
    variables = partial(_variables, settings, verdicts, records)
    stack.enter_context(watched(settings, metrics, watcher.status, variables))


def stop(settings: ServeSettings) -> None:
    """Ends the daemon and the fs server, which unmounts all layers; what does not run is no error.

    Raises:
        FsServerError: one of them does not end.
        OSError: a socket may not be opened.
    """
    stop_daemon(settings.address)
    stop_fs_server(settings)


def _wait_for_end(signals: ReceivedSignals, reload: Callable[[], None]) -> signal.Signals:
    while (number := signals.wait_next()) is signal.SIGHUP:
        notify_reloading()
        reload()
        notify("READY=1")
    return number


def _reload(settings: ServeSettings, read: Callable[[], ServeSettings]) -> None:
    """Reads the settings again; what cannot be used changes nothing."""
    try:
        fresh = read()
        write_settings(fresh.fs_settings_file, fresh.fs)
    except (ConfigError, OSError) as error:
        _log.error("configuration is kept", extra={"fields": {"error": str(error)}})
        return
    reload_fs_server(fresh)
    if replace(fresh, fs=settings.fs) != settings:
        _log.warning("addresses change when the snapshotter is restarted")
    _log.info("configuration read again")


@contextmanager
def _owned_root(settings: ServeSettings) -> Iterator[None]:
    """Holds the root for this process alone; the kernel lets go of it when the process ends."""
    for directory in (settings.root, settings.snapshotter_root):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    with held_alone(settings.snapshotter_root, owner="snapshotter", root=settings.root):
        yield


def _variables(
    settings: ServeSettings, verdicts: Verdicts, records: SnapshotRecords
) -> dict[str, Any]:
    """What ``/debug/vars`` shows."""
    return {
        "version": version("pyestargz"),
        "address": settings.address,
        "root": settings.root,
        "verdicts": verdicts.counts(),
        "snapshots": len(records.ids()),
        "threads": threading.active_count(),
    }
