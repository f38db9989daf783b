"""Running an image once, and recording which of its files are opened, in which order, and how much of the large ones is read.

The kernel is asked before the container starts, so nothing is missed. The run is over when the container ends, when its
time is up, when it prints what was waited for, or on a signal; then it is killed. Whatever happens,
the container, its snapshot, the mount and the temporary files are gone afterwards.
"""

import errno
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from estargz.image_reading import SourceManifest
from snapshotter.sampling.access_log import LARGE_FILE_BYTES, AccessLog, ChosenFiles, choose_files
from snapshotter.sampling.fanotify import FileEvents
from snapshotter.sampling.lower_layers import find_file
from snapshotter.sampling.page_residency import forget_large_files, read_bytes
from snapshotter.sampling.sample_container import Ended, Limits, SampleContainer, Stop
from snapshotter.sampling.sample_root import SampleRoot, Unpacking, mounted_root
from snapshotter.sampling.sample_spec import (
    RunOptions,
    Surroundings,
    find_user,
    make_spec,
    plan_process,
)

_MAX_TABLE_BYTES: Final = 1 << 20
_HOST_FILES: Final = (Path("/etc/hosts"), Path("/etc/resolv.conf"))


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run gave: the files, how it ended, and how long it took."""

    files: ChosenFiles
    ended: Ended
    seconds: float


async def record_sample(
    image: SourceManifest,
    unpacking: Unpacking,
    run: RunOptions,
    limits: Limits,
    *,
    chunk_bytes: int,
) -> Sample:
    """Runs an image.

    Args:
        image: what is run.
        unpacking: how its files get there.
        run: what is run in it.
        limits: for how long.
        chunk_bytes: what a node will fetch of a file at once.

    Raises:
        CtrError: containerd failed, or something could not be taken away.
        SampleError: the container could not be started.
        SampleRootError: the image cannot be mounted so that accesses can be recorded.
        SampleSpecError: it is not clear what to run.
        WatchError: accesses could not be recorded.
        OSError: what was read of large files cannot be told.
        KeyboardInterrupt: a signal came when there was nothing to record yet, or twice.
    """
    name = f"pyestargz-sample-{os.getpid()}-{secrets.token_hex(4)}"
    container = SampleContainer(unpacking.ctr, name, limits)
    sample: Sample | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, container, nursery.cancel_scope)
            diff_ids = [layer.diff_id for layer in image.layers]
            async with mounted_root(unpacking, diff_ids, run_name=name) as root:
                spec = await _describe(image, unpacking, run, root, name)
                files = partial(_choose, image, root, chunk_bytes)
                sample = await _watch(container, spec, root, files)
            nursery.cancel_scope.cancel()
    if sample is None:
        raise KeyboardInterrupt
    return sample


async def _obey(
    signals: AsyncIterator[int], container: SampleContainer, everything: trio.CancelScope
) -> None:
    """The first signal ends a run that has begun, with what it has recorded; others, and earlier ones, give up."""
    async for _ in signals:
        if container.is_running:
            container.end(Stop.SIGNAL)
        else:
            everything.cancel()


async def _describe(
    image: SourceManifest, unpacking: Unpacking, run: RunOptions, root: SampleRoot, name: str
) -> bytes:
    process = plan_process(image.config, run)
    user = find_user(
        process.user,
        passwd=_read_table(root.mountpoint / "etc" / "passwd"),
        group=_read_table(root.mountpoint / "etc" / "group"),
    )
    surroundings = Surroundings(
        rootfs=root.mountpoint,
        cgroup=f"/{unpacking.ctr.namespace}/{name}",
        host_network=run.host_network,
        host_files=tuple(filter(Path.exists, _HOST_FILES)),
    )
    default = await unpacking.ctr.call("oci", "spec")
    return make_spec(default.encode(), process, user, surroundings)


def _read_table(path: Path) -> str:
    """A file of the image that need not be there; what its author made a link of is not followed out of the image."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}:
            return ""
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_TABLE_BYTES).decode(errors="replace")


async def _watch(
    container: SampleContainer,
    spec: bytes,
    root: SampleRoot,
    choose: Callable[[AccessLog], ChosenFiles],
) -> Sample:
    log = AccessLog(root.mountpoint)
    await trio.to_thread.run_sync(
        partial(forget_large_files, root.layers, min_bytes=LARGE_FILE_BYTES)
    )
    with FileEvents(root.mountpoint) as events:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_collect, events, log)
            started = trio.current_time()
            ended = await container.run(spec)
            seconds = trio.current_time() - started
            nursery.cancel_scope.cancel()
        _note_queued(events, log)
    return Sample(await trio.to_thread.run_sync(choose, log), ended, seconds)


def _choose(
    image: SourceManifest, root: SampleRoot, chunk_bytes: int, log: AccessLog
) -> ChosenFiles:
    find = partial(find_file, layers=root.layers)
    count_read = partial(read_bytes, chunk_bytes=chunk_bytes)
    return choose_files(log, find, count_read, image.digest)


async def _collect(events: FileEvents, log: AccessLog) -> None:
    while True:
        await events.wait()
        _note_queued(events, log)


def _note_queued(events: FileEvents, log: AccessLog) -> None:
    for event in events.read_queued():
        log.add(event)
