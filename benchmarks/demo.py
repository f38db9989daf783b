"""``make demo``: one image, started from a full pull and lazily, over the same slow network.

Everything is real: an image made of Debian's packages, a registry, containerd, runc, and pyestargz
between them. Only the network is emulated (``benchmarks.network``).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.network import EmulatedNetwork, NetworkProfile
from tests.e2e.containerd import Containerd
from tests.e2e.images import debian_python_image, default_cache
from tests.e2e.oci_layout import push
from tests.e2e.snapshotter_process import Snapshotter, run_cli
from tests.real_registry import RealRegistry

_DOWNLOADED = '"remote-snapshot-prepared":"false"'
_PROGRAM = ("python3", "-c", "print(1)")


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a container: how long it took, in seconds, and what came over the network."""

    pull_seconds: float
    run_seconds: float
    network_bytes: int

    @property
    def total_seconds(self) -> float:
        return self.pull_seconds + self.run_seconds


def measure(network: EmulatedNetwork, pull: Callable[[], str], run: Callable[[], str]) -> Start:
    begin = time.perf_counter()
    pull()
    pulled = time.perf_counter()
    output = run()
    ready = time.perf_counter()
    if output.strip() != "1":
        raise RuntimeError(f"the container printed {output!r}")
    return Start(pulled - begin, ready - pulled, network.traffic().bytes_down)


def full_pull(registry: str, image: str, profile: NetworkProfile) -> Start:
    with EmulatedNetwork(registry, profile) as network, Containerd() as node:
        name, ctr = f"{network.host}/{image}", node.ctr()
        return measure(
            network,
            lambda: ctr.pull(name),
            lambda: ctr.run(name, _PROGRAM, snapshotter="overlayfs"),
        )


def lazy_pull(registry: str, image: str, profile: NetworkProfile) -> Start:
    with (
        EmulatedNetwork(registry, profile) as network,
        Snapshotter() as snapshotter,
        Containerd(snapshotters={"stargz": snapshotter.socket}) as node,
    ):
        name, ctr = f"{network.host}/{image}", node.ctr()
        start = measure(
            network, lambda: ctr.rpull(name), lambda: ctr.run(name, _PROGRAM, snapshotter="stargz")
        )
        if any(_DOWNLOADED in line for line in snapshotter.process.lines()):
            raise RuntimeError("a layer was not pulled lazily: the comparison would be a lie")
        return start


def report(full: Start, lazy: Start, console: Console) -> None:
    table = Table(title=f"{' '.join(_PROGRAM)}, in a container whose image is not here")
    for column in ("", "pull", "create and run", "until ready", "over the network"):
        table.add_column(column, justify="left" if not column else "right")
    for label, start in (("full pull, overlayfs", full), ("lazy pull, pyestargz", lazy)):
        seconds = (start.pull_seconds, start.run_seconds, start.total_seconds)
        size = f"{start.network_bytes / 1e6:.2f} MB"
        table.add_row(label, *(f"{value:.2f} s" for value in seconds), size)
    time_ratio = lazy.total_seconds / full.total_seconds
    bytes_ratio = lazy.network_bytes / full.network_bytes
    table.add_row("lazy / full", "", "", f"{time_ratio:.2f}", f"{bytes_ratio:.3f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt-ms", type=float, default=10.0, help="round-trip time (default 10)")
    parser.add_argument("--mbit", type=float, default=100.0, help="bandwidth (default 100)")
    options = parser.parse_args()
    console = Console()
    console.print("Building an image of Debian's packages (kept in build/e2e)")
    layout = debian_python_image(default_cache()).layout
    with (
        tempfile.TemporaryDirectory(prefix="pyestargz-demo-") as directory,
        RealRegistry(Path(directory)) as registry,
    ):
        push(layout, registry.host, "demo/python", "plain")
        console.print("Converting it: pyestargz convert")
        run_cli("convert", f"oci:{layout}", f"{registry.host}/demo/python:esgz")
        profile = NetworkProfile(rtt_ms=options.rtt_ms, mbit=options.mbit)
        console.print(f"Network: {options.mbit:g} Mbit/s, round trip {options.rtt_ms:g} ms")
        full = full_pull(registry.host, "demo/python:plain", profile)
        lazy = lazy_pull(registry.host, "demo/python:esgz", profile)
    report(full, lazy, console)


if __name__ == "__main__":
    main()
