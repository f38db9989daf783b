"""A writable copy of an image, mounted for one sample run: made by containerd, and gone when the run is over.

containerd need not have the image: then it is pulled by its digest, under a name of its own, and removed again, so
nobody's images change. What was there before stays.
"""

import contextlib
import re
import tempfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio

from registry.digest import Digest
from snapshotter.errors import CommandError
from snapshotter.sampling.ctr_client import Ctr, CtrError, run_to_end
from snapshotter.sampling.lower_layers import lower_directories

_PULL_SECONDS: Final = 3600.0
_CLEAN_UP_SECONDS: Final = 120.0
_MOUNT_SECONDS: Final = 60.0
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class SampleRootError(CommandError):
    """An image that cannot be mounted so that accesses to its files can be told from all others."""

    def __init__(self, snapshotter: str, reason: str) -> None:
        super().__init__(f"snapshotter {snapshotter!r}: {reason}")
        self.snapshotter = snapshotter
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacking:
    """How containerd gets and unpacks an image.

    Attributes:
        ctr: the client.
        snapshotter: containerd's name of what unpacks it.
        name: the image, by digest; empty if it cannot be pulled and must be there.
        plain_http: whether its registry speaks plain HTTP.
    """

    ctr: Ctr
    snapshotter: str
    name: str
    plain_http: bool


@dataclass(frozen=True, slots=True)
class SampleRoot:
    """Where the copy is mounted, and where containerd keeps the layers, the lowest first."""

    mountpoint: Path
    layers: tuple[Path, ...]


class _Mount(msgspec.Struct, rename="pascal"):
    type: str
    source: str
    options: Annotated[list[str], msgspec.Meta(max_length=4096)]


def chain_id(diff_ids: Sequence[Digest]) -> str:
    """How containerd calls the snapshot of layers on top of each other."""
    return str(reduce(lambda chain, layer: Digest.of(f"{chain} {layer}".encode()), diff_ids))


@contextlib.asynccontextmanager
async def mounted_root(
    unpacking: Unpacking, diff_ids: Sequence[Digest], *, run_name: str
) -> AsyncGenerator[SampleRoot, None]:
    """Mounts an image while the block runs.

    Args:
        unpacking: how it gets there.
        diff_ids: the content of its layers, the lowest first.
        run_name: how what is made is called; no other run may have it.

    Raises:
        CtrError: containerd cannot do it, or something could not be taken away.
        SampleRootError: the image has no layers, or is not mounted with overlayfs.
        OSError: there is no room for a directory.
    """
    if not diff_ids:
        raise SampleRootError(unpacking.snapshotter, "the image has no layers")
    async with _unpacked(unpacking, chain_id(diff_ids)) as parent:
        snapshots = ("snapshots", "--snapshotter", unpacking.snapshotter)
        try:
            answer = await unpacking.ctr.call(*snapshots, "prepare", "--mounts", run_name, parent)
            mount = _overlay_mount(answer, unpacking.snapshotter)
            layers = lower_directories(mount.options)
            if len(layers) != len(diff_ids):
                reason = f"it mounts {len(layers)} directories for {len(diff_ids)} layers"
                raise SampleRootError(unpacking.snapshotter, reason)
            async with _mounted(mount) as mountpoint:
                yield SampleRoot(mountpoint, layers)
        finally:
            async with cleaning_up():
                if run_name in await _names(unpacking.ctr, *snapshots, "ls"):
                    await unpacking.ctr.call(*snapshots, "rm", run_name)


@contextlib.asynccontextmanager
async def cleaning_up() -> AsyncGenerator[None, None]:
    """What the block does is done even if all else is cancelled, but not forever.

    Raises:
        CtrError: it was not done in time.
    """
    deadline = trio.current_time() + _CLEAN_UP_SECONDS
    with trio.CancelScope(shield=True, deadline=deadline) as scope:
        yield
    if scope.cancelled_caught:
        raise CtrError("(cleaning up)", f"not done after {_CLEAN_UP_SECONDS:.0f} s")


def is_safe_name(text: str) -> bool:
    """Whether a name of a snapshotter or namespace is not mistaken for an option."""
    return _SAFE_NAME.fullmatch(text) is not None


@contextlib.asynccontextmanager
async def _unpacked(unpacking: Unpacking, chain: str) -> AsyncGenerator[str, None]:
    ctr, snapshotter = unpacking.ctr, unpacking.snapshotter
    if chain in await _names(ctr, "snapshots", "--snapshotter", snapshotter, "ls"):
        yield chain
        return
    if not unpacking.name:
        raise SampleRootError(snapshotter, "the image is not unpacked, and cannot be pulled")
    was_there = unpacking.name in await _names(ctr, "images", "ls", "-q")
    words = ["images", "pull", "--snapshotter", snapshotter]
    words += ["--plain-http"] if unpacking.plain_http else []
    try:
        await ctr.call(*words, unpacking.name, timeout_seconds=_PULL_SECONDS)
        yield chain
    finally:
        async with cleaning_up():
            if not was_there and unpacking.name in await _names(ctr, "images", "ls", "-q"):
                await ctr.call("images", "rm", "--sync", unpacking.name)


async def _names(ctr: Ctr, *words: str) -> set[str]:
    """The first column of a list."""
    return {line.split()[0] for line in (await ctr.call(*words)).splitlines() if line.split()}


def _overlay_mount(answer: str, snapshotter: str) -> _Mount:
    try:
        mounts = msgspec.json.decode(answer, type=list[_Mount])
    except msgspec.MsgspecError as error:
        raise CtrError("snapshots prepare --mounts", str(error)) from None
    if [mount.type for mount in mounts] != ["overlay"]:
        # The kernel reports a whole file system: of a bind mount, also what others do elsewhere in it.
        raise SampleRootError(snapshotter, "it does not mount with overlayfs; choose overlayfs")
    return mounts[0]


@contextlib.asynccontextmanager
async def _mounted(mount: _Mount) -> AsyncGenerator[Path, None]:
    directory = Path(tempfile.mkdtemp(prefix="pyestargz-sample-"))
    try:
        options = ",".join(mount.options)
        argv = ["mount", "-t", mount.type, "-o", options, mount.source, str(directory)]
        await _system_call(argv)
        try:
            yield directory
        finally:
            async with cleaning_up():
                await _system_call(["umount", str(directory)])
    finally:
        # Not the tree: should it still be mounted, its files are not ours to delete.
        async with cleaning_up():
            with contextlib.suppress(OSError):
                await trio.Path(directory).rmdir()


async def _system_call(argv: Iterable[str]) -> None:
    words = list(argv)
    await run_to_end(words, words[0], timeout_seconds=_MOUNT_SECONDS)
