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
        warm_name: what results call a second start on the same node, after its layers were completed in the background and the
            page cache was emptied; empty for none.
        socket: a peer's.
        reset: a shell command that makes a peer forget everything; empty for none.
        config: the configuration file of our snapshotter.
    """

    name: str
    variant: Variant
    snapshotter: str = "stargz"
    warm_name: str = ""
    socket: Path | None = None
    reset: str = ""
    config: str = ""


OUR_MODES = {
    mode.name: mode
    for mode in (
        Mode(
            name="overlayfs",
            variant=Variant.PLAIN,
            snapshotter="overlayfs",
            warm_name="overlayfs-warm",
        ),
        Mode(name="unoptimized", variant=Variant.UNOPTIMIZED),
        Mode(name="optimized", variant=Variant.OPTIMIZED, warm_name="warm"),
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
    """Ours for each configuration file, with its name before those of the modes and of their second starts."""
    return [
        dataclasses.replace(
            mode,
            name=f"{name}-{mode.name}",
            warm_name=mode.warm_name and f"{name}-{mode.warm_name}",
            config=Path(path).read_text(),
        )
        for name, path in configs.items()
        for mode in OUR_MODES.values()
        if mode.snapshotter == "stargz"
    ]


def take_samples(
    mode: Mode, workload: Workload, profile: NetworkProfile, published: Published
) -> dict[str, Start]:
    """Starts a workload on a node that has nothing else, and measures it; and once more, if the mode has a second start.

    Args:
        mode: how.
        workload: what.
        profile: over which network.
        published: the workload's image, of the mode's variant.

    Returns:
        What was measured, by the name that results have for it.

    Raises:
        FellBackError: a lazy mode was not lazy.
        CommandFailedError: a step failed.
        NotReadyError: the container was not ready in time.
        TimeoutError: the layers were not completed.
    """
    with EmulatedNetwork(published.host, profile) as network, new_node(mode, network) as node:
        image = published.image.through(network.host)
        empty_page_cache(published)
        with node.start(image, workload) as cold:
            if mode.warm_name:
                node.wait_complete(len(published.layer_bytes))
        node.require_lazy(cold, published)
        if not mode.warm_name:
            return {mode.name: cold}
        empty_page_cache(published)
        with node.start(image, workload) as warm:
            pass
        node.require_lazy(warm, published)
    return {mode.name: cold, mode.warm_name: warm}


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
