"""The one FUSE mount of the process: mounted, served, unmounted."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pyfuse3
import trio

from fs.errors import MountError, StartError
from fs.mounting import mounts_at, unmount_lazily

_log = logging.getLogger(__name__)
# Readers that wait for the network hold a task each; the kernel bounds its own read-ahead.
_MIN_TASKS, _MAX_TASKS = 4, 512
_READ_AHEAD_KB = 1024
LAYER_OPTIONS = frozenset({"fsname=stargz", "subtype=stargz", "allow_other", "ro", "suid", "dev"})


@asynccontextmanager
async def mounted(
    operations: pyfuse3.Operations, mountpoint: Path, options: Collection[str] = LAYER_OPTIONS
) -> AsyncIterator[None]:
    """Mounts and serves a file system for the time of a ``with`` block; that of the layers, if nothing else is said.

    A mount that a former life left there is taken away first: it cannot be served any more. At the end the mount is
    served until the kernel has let go of it, which is asked for from a thread: it may want an answer before it does.

    Raises:
        StartError: FUSE is not to be had here, or the mount point cannot be used.
    """
    _mount(operations, mountpoint, options)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pyfuse3.main, min_tasks=_MIN_TASKS, max_tasks=_MAX_TASKS))
            await trio.to_thread.run_sync(_wait_served, mountpoint)
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):
                    # Lazily: containers that still use a layer keep it until they end.
                    await trio.to_thread.run_sync(detach_stale, mountpoint)
                nursery.cancel_scope.cancel()
    finally:
        pyfuse3.close(unmount=False)


def _mount(operations: pyfuse3.Operations, mountpoint: Path, options: Collection[str]) -> None:
    detach_stale(mountpoint)
    mountpoint.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise StartError("/dev/fuse cannot be opened: load the fuse module and run as root")
    try:
        pyfuse3.init(operations, str(mountpoint), {*pyfuse3.default_options, *options})
    except RuntimeError as error:
        raise StartError(f"{mountpoint} cannot be mounted with FUSE: {error}") from error


def _wait_served(mountpoint: Path) -> None:
    """Returns once the mount answers, with its read-ahead raised: the handshake would reset it."""
    os.statvfs(mountpoint)
    _raise_read_ahead(mountpoint)


def forget_layer(name: bytes) -> None:
    """Makes the kernel drop a layer's directory from the mount's root; it knows it no more on return.

    The kernel may want an answer to a lookup before it does, so this is called from a thread.
    """
    with contextlib.suppress(FileNotFoundError):  # it never looked
        pyfuse3.invalidate_entry(pyfuse3.ROOT_INODE, pyfuse3.FileNameT(name))


def detach_stale(mountpoint: Path) -> None:
    """Unmounts whatever is mounted there, lazily, however often.

    Raises:
        StartError: the kernel refuses.
    """
    try:
        unmount_lazily(mountpoint)
    except MountError as error:
        raise StartError(str(error)) from error


def _raise_read_ahead(mountpoint: Path) -> None:
    """Lets the kernel ask for 1 MiB at a time; it offers FUSE no option for it."""
    for device in mounts_at(mountpoint)[-1:]:
        try:
            Path(f"/sys/class/bdi/{device}/read_ahead_kb").write_text(f"{_READ_AHEAD_KB}\n")
        except OSError as error:
            _log.info("read-ahead stays small", extra={"fields": {"error": str(error)}})
