"""The daemon behind an Additional Layer Store. Starting, stopping or killing it touches no container that runs."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import trio

from fs.mounting import mounts_at
from fs.session import mounted
from fs.settings import write_settings
from registry.client import RegistryClient
from registry.keychain.secret_watch import SecretWatch
from registry.manifest import Platform
from snapshotter.config import ServeSettings
from snapshotter.errors import ConfigError, StartupError
from snapshotter.fs_client import FsClient
from snapshotter.fs_running import (
    check_privileges,
    reload_fs_server,
    running_fs_server,
    stop_daemon,
    stop_fs_server,
)
from snapshotter.grpc_server import serving_alone
from snapshotter.metrics import DaemonMetrics
from snapshotter.notify import notify, notify_reloading
from snapshotter.pulled_credentials import PulledCredentials
from snapshotter.root_lock import held_alone
from snapshotter.store.credentials import StoreController
from snapshotter.store.layers import StoreLayers
from snapshotter.store.operations import StoreOperations
from snapshotter.store.records import StoreRecords
from snapshotter.watching import watched

_log = logging.getLogger(__name__)
_MOUNT_OPTIONS = ("fsname=stargzstore", "subtype=stargzstore")
_THREADS = 4


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store is, and how it runs.

    Attributes:
        mountpoint: what containers/storage is told of; absolute, its parent without symbolic links.
        settings: all else, as for the snapshotter; ``address`` is the socket that takes credentials.
        platform: the one whose images are meant.

    Raises:
        ConfigError: containers/storage could not be told of the mountpoint.
    """

    mountpoint: Path
    settings: ServeSettings
    platform: Platform

    def __post_init__(self) -> None:
        if ":" in str(self.mountpoint) or "," in str(self.mountpoint):
            reason = f"{self.mountpoint} contains ':' or ',', which storage.conf cannot name"
            raise ConfigError("mountpoint", reason)

    @property
    def records_file(self) -> Path:
        """What is known of layers, and used."""
        return self.settings.root / "store.db"


def serve(place: StorePlace, read: Callable[[], ServeSettings]) -> int:
    """Serves a store until SIGTERM, or SIGINT, which ends the fs server too; returns the exit code.

    Args:
        place: where.
        read: reads the settings anew; called on SIGHUP.

    Raises:
        StartupError: it cannot start here.
        FsServerError: the fs server cannot be started.
        FsError: FUSE is not to be had.
        RecordsError: the records cannot be used.
        OSError: a directory or socket cannot be made.
    """
    settings = place.settings
    with ExitStack() as stack:
        check_privileges()
        stack.enter_context(_owned_root(settings.root))
        require_free(place.mountpoint)
        process = stack.enter_context(running_fs_server(settings))
        records = stack.enter_context(StoreRecords(place.records_file))
        server = stack.enter_context(FsClient(settings.fs_socket, process.ensure_running))
        # Who watches starts nothing.
        watcher = stack.enter_context(FsClient(settings.fs_socket, lambda: False))
        metrics = DaemonMetrics(watcher.status, dict)
        stack.enter_context(watched(settings, metrics, watcher.status, lambda: _variables(place)))
        number = trio.run(_serve, place, read, server, records)
        ends_fs = number is signal.SIGINT or settings.foreground_fs
        _log.info("stopping" if ends_fs else "stopping; layers stay mounted")
    if ends_fs:
        stop_fs_server(settings)
    return 0


def stop(settings: ServeSettings) -> None:
    """Ends the store and its fs server, which unmounts all layers; what does not run is no error.

    Raises:
        FsServerError: one of them does not end.
        OSError: a socket may not be opened.
    """
    stop_daemon(settings.address)
    stop_fs_server(settings)


def require_free(mountpoint: Path) -> None:
    """Checks that nothing is mounted on a directory, except what nobody serves any more.

    Raises:
        StartupError: something is.
    """
    if not mounts_at(mountpoint):
        return
    try:
        os.statvfs(mountpoint)  # which the kernel does not answer from memory
    except OSError:
        return  # of a former life
    raise StartupError(
        f"something is mounted on {mountpoint} already",
        "stop the store that serves it, unmount it, or choose another directory",
    )


async def _serve(
    place: StorePlace,
    read: Callable[[], ServeSettings],
    server: FsClient,
    records: StoreRecords,
) -> signal.Signals:
    settings = place.settings
    signals = trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with signals as received, ThreadPoolExecutor(_THREADS, "credentials") as threads:
        async with (
            RegistryClient(settings.fs.registry) as client,
            SecretWatch(client.kubernetes_secrets) as secrets,
        ):
            secrets.use(settings.fs.registry.credentials)

            def learn(passed: PulledCredentials) -> None:
                client.passed_credentials.put(passed.reference.repository_name, passed.credentials)
                server.pass_credentials(passed)

            layers = StoreLayers(client, server, records, place.platform)
            operations = StoreOperations(layers, staging=settings.root)
            with serving_alone(settings.address, StoreController(learn), threads):
                async with (
                    layers.kept_tidy(),
                    mounted(operations, place.mountpoint, _MOUNT_OPTIONS),
                ):
                    fields = {"mountpoint": str(place.mountpoint)}
                    _log.info("serving layers", extra={"fields": fields})
                    notify("READY=1")
                    async for number in received:
                        if number != signal.SIGHUP:
                            break
                        notify_reloading()
                        if (fresh := await _reload(place, read)) is not None:
                            client.use(fresh.fs.registry)
                            secrets.use(fresh.fs.registry.credentials)
                        notify("READY=1")
                    notify("STOPPING=1")
    return signal.Signals(number)


async def _reload(place: StorePlace, read: Callable[[], ServeSettings]) -> ServeSettings | None:
    """Reads the settings again, and lets the fs server do so; None if they cannot be used, which changes nothing."""
    try:
        fresh = read()
        await trio.to_thread.run_sync(write_settings, place.settings.fs_settings_file, fresh.fs)
    except (ConfigError, OSError) as error:
        _log.error("configuration is kept", extra={"fields": {"error": str(error)}})
        return None
    await trio.to_thread.run_sync(reload_fs_server, place.settings)
    _log.info("configuration read again")
    return fresh


@contextmanager
def _owned_root(root: Path) -> Iterator[None]:
    """Holds the root for this process alone; the kernel lets go of it when the process ends."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.chmod(0o700)
    if (root / "snapshotter").exists():
        raise StartupError(f"{root} belongs to a snapshotter", "choose another --root")
    with held_alone(root, owner="store", root=root):
        yield


def _variables(place: StorePlace) -> dict[str, Any]:
    """What ``/debug/vars`` shows."""
    return {
        "version": version("pyestargz"),
        "mountpoint": place.mountpoint,
        "root": place.settings.root,
    }
