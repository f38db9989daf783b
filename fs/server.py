"""The fs server: the process that running containers depend on.

``python -m fs.server --root DIR --socket PATH [--settings FILE] [--ready-fd N]`` is started by the snapshotter,
detached, and outlives it. SIGHUP, or the control socket, makes it read its settings again. It says ``ready``, or ``error: ...``, in one line on the ready descriptor.
"""

import argparse
import faulthandler
import fcntl
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from fs.backend import Inheritance, shown_layers
from fs.compilers import ProcessCompiler
from fs.control import ControlService, Served, control_socket
from fs.ending import Ending
from fs.errors import MountError, SettingsError, StartError
from fs.heap import keep_freed_memory
from fs.layer_directory import LayerDirectories
from fs.layer_trees import FuseTrees
from fs.layers import LayerTable
from fs.log import LogLevel, log_to_file, log_to_stderr, set_level
from fs.operations import LayerOperations
from fs.sealed_credentials import SealedCredentials
from fs.session import mounted
from fs.settings import FsSettings, read_settings
from registry.client import RegistryClient
from registry.keychain.secret_watch import SecretWatch

_log = logging.getLogger(__name__)
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server keeps and serves layers, and where it reads what else it is told; defaults hold without such a file."""

    root: Path
    socket: Path
    settings_file: Path | None = None
    held: tuple[int, ...] = ()

    @property
    def mountpoint(self) -> Path:
        """Where the one FUSE mount is."""
        return self.root / "mnt"

    @property
    def layers(self) -> Path:
        """Where layers are kept."""
        return self.root / "layers"

    @property
    def sealed_credentials(self) -> Path:
        """Where credentials that were passed lie, if that is wanted."""
        return self.root / "credentials.sealed"

    def read(self) -> FsSettings:
        """What the settings file says now.

        Raises:
            SettingsError: it cannot be used.
        """
        return FsSettings() if self.settings_file is None else read_settings(self.settings_file)


async def serve(settings: ServerSettings, announce: "_Announcement") -> None:
    """Serves until it is told to stop, by the control socket or a signal.

    Raises:
        StartError: it cannot start; nothing stays mounted.
        SettingsError: what it is told makes no sense.
    """
    ending = Ending()
    directories = LayerDirectories(settings.layers)
    told = settings.read()
    async with (
        RegistryClient(told.registry) as client,
        ProcessCompiler(settings.root) as compiler,
        SecretWatch(client.kubernetes_secrets) as secret_watch,
        LayerTable(
            client,
            directories,
            fetching=told.fetching,
            filling=told.filling,
            slots=told.slots,
            caching=told.caching,
            compiler=compiler,
        ) as layers,
        mounted(LayerOperations(layers), settings.mountpoint),
        shown_layers(
            told.backend,
            layers,
            directories,
            left=Inheritance(settings.root, settings.held),
            fuse=FuseTrees(settings.mountpoint),
            ending=ending,
        ) as trees,
        trio.open_nursery() as nursery,
    ):
        sealed = SealedCredentials(client.passed_credentials, settings.sealed_credentials)
        await _use_credentials(told, secret_watch, sealed)

        async def reload() -> None:
            fresh = await trio.to_thread.run_sync(settings.read)
            set_level(fresh.log_level)
            client.use(fresh.registry)
            await _use_credentials(fresh, secret_watch, sealed)
            layers.use(fetching=fresh.fetching, filling=fresh.filling, caching=fresh.caching)
            _log.info("settings read again")

        # Before anybody is told that the server is ready: a signal that nobody takes would end it, with everything mounted.
        await nursery.start(_end_on_signal, ending)
        await nursery.start(_reload_on_signal, reload)
        served = Served(layers, settings.mountpoint, trees, ending, sealed.put, reload)
        async with control_socket(settings.socket, lambda portal: ControlService(served, portal)):
            _log.info("fs server ready", extra={"fields": {"root": str(settings.root)}})
            announce("ready")
            await ending.wait()
            _end_in_any_case()
        nursery.cancel_scope.cancel()
    _log.info("fs server stopped")


async def _use_credentials(
    told: FsSettings, secret_watch: SecretWatch, sealed: SealedCredentials
) -> None:
    secret_watch.use(told.registry.credentials)
    await trio.to_thread.run_sync(sealed.use, told.sealing)


def _end_in_any_case() -> None:
    """Bounds what is left of this process's life; if that is too short, the log tells where every thread was."""
    faulthandler.dump_traceback_later(_STOP_SECONDS, exit=True)


async def _end_on_signal(
    ending: Ending, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGUSR1:
                ending.hand_over()
            else:
                ending.unmount()


async def _reload_on_signal(
    reload: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            try:
                await reload()
            except SettingsError as error:
                _log.error("settings are kept", extra={"fields": {"error": str(error)}})


class _Announcement:
    """The one line that whoever started the server waits for."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, line: str) -> None:
        if self._descriptor is not None:
            os.write(self._descriptor, line.replace("\n", " ").encode() + b"\n")
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Holds the root for this process alone; the kernel lets go of it when the process ends."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another fs server already uses {root}") from error
        yield


def _start_logging(settings: ServerSettings, log: Path | None) -> None:
    log_to_stderr(LogLevel.INFO)  # until it is known better
    faulthandler.register(signal.SIGUSR2)
    level = settings.read().log_level
    if log is None:
        set_level(level)
    else:
        log_to_file(log, level)


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fs.server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="state directory")
    parser.add_argument("--socket", type=Path, required=True, help="control socket to listen on")
    parser.add_argument("--ready-fd", type=int, help="descriptor to announce readiness on")
    parser.add_argument("--settings", type=Path, help="file of settings; read again on SIGHUP")
    parser.add_argument(
        "--held-fd",
        type=int,
        action="append",
        default=[],
        help="descriptor that the service manager held for a former server; may be given again",
    )
    parser.add_argument("--log", type=Path, help="file to log to, of bounded size; else stderr")
    options = parser.parse_args(arguments)
    announce = _Announcement(options.ready_fd)
    exit_code = 0
    settings = ServerSettings(
        options.root.absolute(), options.socket.absolute(), options.settings, tuple(options.held_fd)
    )
    try:
        _start_logging(settings, options.log)
        _raise_descriptor_limit()
        keep_freed_memory()
        with _only_one(settings.root):
            trio.run(serve, settings, announce)
    except* (StartError, SettingsError, MountError, OSError) as group:
        reason = "; ".join(str(error) for error in _leaves(group))
        _log.error("fs server cannot run", extra={"fields": {"error": reason}})
        announce(f"error: {reason}")
        exit_code = 1
    return exit_code


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main())
