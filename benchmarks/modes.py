"""The ways to start a container that are compared, each from a node of its own that has nothing yet."""

import dataclasses
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import drop_page_cache, read_into_page_cache, usage_under
from benchmarks.network import EmulatedNetwork, NetworkProfile
from benchmarks.publishing import Published, Variant
from benchmarks.starts import FellBackError, Node, Start, require_lazy
from benchmarks.workloads import Workload
from tests.e2e.containerd import Containerd
from tests.e2e.snapshotter_process import Snapshotter

_DOWNLOADED = '"remote-snapshot-prepared":"false"'
_COMPLETE = '"layer complete"'
_COMPLETION_SECONDS = 600.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to start.

    Attributes:
        name: what results call it.
        variant: which image is started.
        snapshotter: ``overlayfs``, ``stargz`` for ours, or a peer's name.
        is_warm: whether the image was pulled and run before, and the page cache dropped since.
        socket: a peer's.
        reset: a shell command that makes a peer forget everything; empty for none.
        config: the configuration file of our snapshotter.
    """

    name: str
    variant: Variant
    snapshotter: str = "stargz"
    is_warm: bool = False
    socket: Path | None = None
    reset: str = ""
    config: str = ""


OUR_MODES = {
    mode.name: mode
    for mode in (
        Mode(name="overlayfs", variant=Variant.PLAIN, snapshotter="overlayfs"),
        Mode(name="unoptimized", variant=Variant.UNOPTIMIZED),
        Mode(name="optimized", variant=Variant.OPTIMIZED),
        Mode(name="warm", variant=Variant.OPTIMIZED, is_warm=True),
        Mode(name="overlayfs-warm", variant=Variant.PLAIN, snapshotter="overlayfs", is_warm=True),
    )
}


def baseline_of(mode: str) -> str:
    """The mode that one is compared with: a full pull, or the same without one."""
    return "overlayfs-warm" if mode.endswith("warm") else "overlayfs"


def peer_modes(sockets: Mapping[str, str], resets: Mapping[str, str]) -> list[Mode]:
    """Two modes for each peer: its name, unoptimized and optimized."""
    return [
        Mode(
            name=f"{name}-{variant}",
            variant=variant,
            snapshotter=name,
            socket=Path(socket),
            reset=resets.get(name, ""),
        )
        for name, socket in sockets.items()
        for variant in (Variant.UNOPTIMIZED, Variant.OPTIMIZED)
    ]


def configured_modes(configs: Mapping[str, str]) -> list[Mode]:
    """Three modes of ours for each configuration file: its name, unoptimized, optimized and warm."""
    return [
        dataclasses.replace(OUR_MODES[kind], name=f"{name}-{kind}", config=Path(path).read_text())
        for name, path in configs.items()
        for kind in ("unoptimized", "optimized", "warm")
    ]


def take_sample(
    mode: Mode,
    workload: Workload,
    profile: NetworkProfile,
    published: Published,
    *,
    previous: Published | None = None,
) -> Start:
    """Starts a workload on a node that has nothing else, and measures it.

    Args:
        mode: how.
        workload: what.
        profile: over which network.
        published: the workload's image, of the mode's variant.
        previous: an image that is run, and completed in the background, before; for warm modes the same.

    Raises:
        FellBackError: a lazy mode was not lazy.
        CommandFailedError: a step failed.
        NotReadyError: the container was not ready in time.
    """
    if mode.is_warm:
        previous = published
    with EmulatedNetwork(published.host, profile) as network, new_node(mode, network) as node:
        if previous is not None:
            with node.start(previous.image.through(network.host), workload):
                node.wait_complete(len(previous.layer_bytes))
        empty_page_cache(published)
        with node.start(published.image.through(network.host), workload) as start:
            pass
        node.require_lazy(start, published)
    return start


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyNode(Node):
    """A node, and what only its owner knows of the snapshotter on it."""

    ours: Snapshotter | None = None

    def wait_complete(self, layers: int) -> None:
        """Waits until all layers of an image are here; only ours completes them.

        Raises:
            TimeoutError: they are not, after a long time.
        """
        if self.ours is None:
            return
        end = time.monotonic() + _COMPLETION_SECONDS
        while sum(_COMPLETE in line for line in self.ours.fs_log()) < layers:
            if time.monotonic() > end:
                raise TimeoutError("layers are not completed in the background")
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - a file that another process writes

    def require_lazy(self, start: Start, published: Published) -> None:
        """Nothing, unless a layer of a lazy image was downloaded.

        Raises:
            FellBackError: one was.
        """
        if not self.is_lazy:
            return
        require_lazy(start, published.layer_bytes)
        if self.ours is not None:
            for line in self.ours.process.lines():
                if _DOWNLOADED in line:
                    raise FellBackError(line)


@contextmanager
def new_node(mode: Mode, network: EmulatedNetwork) -> Iterator[EmptyNode]:
    """A node of its own for a mode, with nothing on it; leaving takes it away."""
    if mode.snapshotter == "overlayfs":
        with Containerd() as containerd:
            yield EmptyNode(ctr=containerd.ctr(), network=network, snapshotter="overlayfs")
    elif mode.socket is not None:
        if mode.reset:
            subprocess.run(mode.reset, shell=True, check=True, timeout=120)  # noqa: S602 - the user's own
        with Containerd(snapshotters={mode.snapshotter: mode.socket}) as containerd:
            yield EmptyNode(ctr=containerd.ctr(), network=network, snapshotter=mode.snapshotter)
    else:
        with (
            Snapshotter(mode.config) as ours,
            Containerd(snapshotters={mode.snapshotter: ours.socket}) as containerd,
        ):
            yield EmptyNode(
                ctr=containerd.ctr(),
                network=network,
                snapshotter=mode.snapshotter,
                usage=lambda: usage_under(ours.directory),
                ours=ours,
            )


def empty_page_cache(*images: Published) -> None:
    """Forgets all files but those that the registry has of some images: it would be another machine's."""
    drop_page_cache()
    for published in images:
        read_into_page_cache(published.blob_paths())
    for program in ("ctr", "ctr-remote", "runc"):
        subprocess.run([program, "--version"], capture_output=True, check=True, timeout=60)
