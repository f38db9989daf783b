"""The fs server: the process that running containers depend on.

``python -m fs.server --root DIR --socket PATH [--ready-fd N]`` is started by the snapshotter, detached,
and outlives it. It says ``ready``, or ``error: ...``, in one line on the ready descriptor.
"""

import argparse
import faulthandler
import fcntl
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from fs.control import ControlService, Served, control_socket
from fs.errors import StartError
from fs.filling import FillSettings
from fs.layer_directory import LayerDirectories
from fs.layers import LayerTable
from fs.log import LogLevel, log_to_stderr
from fs.operations import LayerOperations
from fs.session import mounted
from registry.client import ClientSettings, RegistryClient

_log = logging.getLogger(__name__)
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server keeps and serves layers, and what it fetches unasked."""

    root: Path
    socket: Path
    filling: FillSettings = field(default_factory=FillSettings)

    @property
    def mountpoint(self) -> Path:
        """Where the one FUSE mount is."""
        return self.root / "mnt"

    @property
    def layers(self) -> Path:
        """Where layers are kept."""
        return self.root / "layers"


async def serve(settings: ServerSettings, announce: "_Announcement") -> None:
    """Serves until it is told to stop, by the control socket or a signal.

    Raises:
        StartError: it cannot start; nothing stays mounted.
    """
    stop = trio.Event()
    directories = LayerDirectories(settings.layers)
    async with (
        RegistryClient(ClientSettings()) as client,
        LayerTable(client, directories, filling=settings.filling) as layers,
        mounted(LayerOperations(layers), settings.mountpoint),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_stop_on_signal, stop)
        served = Served(layers, settings.mountpoint, stop)
        async with control_socket(settings.socket, lambda portal: ControlService(served, portal)):
            _log.info("fs server ready", extra={"fields": {"root": str(settings.root)}})
            announce("ready")
            await stop.wait()
            _end_in_any_case()
        nursery.cancel_scope.cancel()
    _log.info("fs server stopped")


def _end_in_any_case() -> None:
    """Bounds what is left of this process's life; if that is too short, the log tells where every thread was."""
    faulthandler.dump_traceback_later(_STOP_SECONDS, exit=True)


async def _stop_on_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stop.set()


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


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fs.server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="state directory")
    parser.add_argument("--socket", type=Path, required=True, help="control socket to listen on")
    parser.add_argument("--ready-fd", type=int, help="descriptor to announce readiness on")
    parser.add_argument("--log-level", type=LogLevel, choices=list(LogLevel), default=LogLevel.INFO)
    parser.add_argument("--no-prefetch", action="store_true", help="ignore landmarks")
    parser.add_argument(
        "--no-background-fetch", action="store_true", help="fetch what is read only"
    )
    parser.add_argument(
        "--prefetch-bytes", type=int, default=0, help="prefetched of layers without a landmark"
    )
    options = parser.parse_args(arguments)
    log_to_stderr(options.log_level)
    announce = _Announcement(options.ready_fd)
    exit_code = 0
    filling = FillSettings(
        prefetch=not options.no_prefetch,
        prefetch_bytes=options.prefetch_bytes,
        background=not options.no_background_fetch,
    )
    settings = ServerSettings(options.root.absolute(), options.socket.absolute(), filling)
    try:
        _raise_descriptor_limit()
        with _only_one(settings.root):
            trio.run(serve, settings, announce)
    except* (StartError, OSError) as group:
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
