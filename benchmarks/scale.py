"""A whole node: many containers of several images at once, and a rolling update.

    python -m benchmarks.scale [--containers N] [--profile NAME] [--out FILE]

The crowd: N containers, spread over five images, are pulled, created and run by as many clients at the same time, on a
node that has nothing. The update: the next version of an image is started where the former runs; its upper layers were rebuilt, with the
same files in them. Memory and CPU time of our processes are looked at all the while.
"""

import argparse
import dataclasses
import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.images import recipes
from benchmarks.machine import Usage
from benchmarks.modes import OUR_MODES, Mode, empty_page_cache, new_node
from benchmarks.network import PROFILES, EmulatedNetwork, NetworkProfile
from benchmarks.publishing import Publisher
from benchmarks.startup import DEFAULT_CACHE, RESULTS
from benchmarks.workloads import WORKLOADS, Workload

_CROWD = ("python", "node", "redis", "nginx", "gcc")
_MODES = ("overlayfs", "optimized")
_PERIOD_SECONDS = 0.25
_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How a crowd fared. Usage is of our processes: seconds since the start, CPU seconds so far, bytes resident."""

    mode: str
    containers: int
    median_seconds: float
    last_seconds: float
    bytes_down: int
    requests: int
    connections: int
    usage: list[tuple[float, float, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What starting the next version took, and moved until it was ready."""

    mode: str
    total_seconds: float
    bytes_down: int
    requests: int


class UsageLog:
    """Looks at processes regularly until it is left; a context manager."""

    def __init__(self, look: Callable[[], Usage]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage")
        self._began = time.monotonic()
        self.entries: list[tuple[float, float, int]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        first = self._look()
        while not self._stop.wait(_PERIOD_SECONDS):
            usage = self._look()
            elapsed = round(time.monotonic() - self._began, 3)
            used = round(usage.cpu_seconds - first.cpu_seconds, 3)
            self.entries.append((elapsed, used, usage.rss_bytes))


def start_crowd(
    mode: Mode, containers: int, profile: NetworkProfile, publisher: Publisher
) -> Crowd:
    """Starts all at once, on a node of its own.

    Raises:
        FellBackError: a lazy mode was not lazy.
        CommandFailedError: a step failed.
    """
    workloads = [WORKLOADS[_CROWD[number % len(_CROWD)]] for number in range(containers)]
    published = {w.name: publisher.publish(w, mode.variant) for w in workloads}
    with EmulatedNetwork(publisher.host, profile) as network, new_node(mode, network) as node:
        empty_page_cache(*published.values())

        def start(workload: Workload) -> float:
            image = published[workload.name].image.through(network.host)
            with node.start(image, workload) as started:
                node.require_lazy(started, published[workload.name])
                return started.total_seconds

        with UsageLog(node.usage) as log, ThreadPoolExecutor(containers) as clients:
            seconds = list(clients.map(start, workloads))
        traffic = network.traffic()
    return Crowd(
        mode=mode.name,
        containers=containers,
        median_seconds=round(statistics.median(seconds), 3),
        last_seconds=round(max(seconds), 3),
        bytes_down=traffic.bytes_down,
        requests=len(traffic.requests),
        connections=traffic.connections,
        usage=log.entries if mode.snapshotter != "overlayfs" else [],
    )


def update(mode: Mode, profile: NetworkProfile, publisher: Publisher) -> Update:
    """Starts the next version of the Python image where the former is.

    Raises:
        FellBackError: a lazy mode was not lazy.
        CommandFailedError: a step failed.
    """
    workload = WORKLOADS["numpy"]
    next_version = dataclasses.replace(workload, image="python-v2")
    old = publisher.publish(workload, mode.variant)
    new = publisher.publish(next_version, mode.variant)
    with EmulatedNetwork(publisher.host, profile) as network, new_node(mode, network) as node:
        with node.start(old.image.through(network.host), workload):
            node.wait_complete(len(old.layer_bytes))
        empty_page_cache(new)
        with node.start(new.image.through(network.host), next_version) as start:
            pass
        node.require_lazy(start, new)
    return Update(
        mode=mode.name,
        total_seconds=round(start.total_seconds, 3),
        bytes_down=start.traffic.bytes_down,
        requests=len(start.traffic.requests),
    )


def show(crowds: list[Crowd], updates: list[Update], console: Console) -> None:
    """Prints what was measured."""
    table = Table("crowd", "containers", "median", "last ready", "MB", "requests", "connections")
    for crowd in crowds:
        times = (f"{crowd.median_seconds:.2f} s", f"{crowd.last_seconds:.2f} s")
        counts = (f"{crowd.bytes_down / _MB:.1f}", str(crowd.requests), str(crowd.connections))
        table.add_row(crowd.mode, str(crowd.containers), *times, *counts)
    console.print(table)
    table = Table("update", "ready", "MB", "requests")
    for change in updates:
        megabytes = f"{change.bytes_down / _MB:.1f}"
        table.add_row(change.mode, f"{change.total_seconds:.2f} s", megabytes, str(change.requests))
    console.print(table)


def draw_usage(crowds: list[Crowd], path: Path) -> None:
    """Memory and CPU time of our processes while the crowd starts."""
    figure = Figure(figsize=(8, 4))
    memory, cpu = figure.subplots(2, sharex=True)
    for crowd in crowds:
        if crowd.usage:
            seconds, used, resident = zip(*crowd.usage, strict=True)
            memory.plot(seconds, [size / _MB for size in resident], label=crowd.mode)
            cpu.plot(seconds, used, label=crowd.mode)
    memory.set_ylabel("MB resident")
    cpu.set_ylabel("CPU seconds so far")
    cpu.set_xlabel("seconds since the crowd began")
    memory.legend()
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--profile", choices=PROFILES, default="1gbit-10ms")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="built images")
    options = parser.parse_args()
    console, profile = Console(width=120), PROFILES[options.profile]
    crowds: list[Crowd] = []
    updates: list[Update] = []

    def keep() -> None:
        found: dict[str, Any] = {
            "run": machine.describe(),
            "profile": profile.name,
            "crowds": [asdict(crowd) for crowd in crowds],
            "updates": [asdict(change) for change in updates],
        }
        options.out.write_text(json.dumps(found) + "\n")

    with Publisher(options.cache, recipes(), console.print) as publisher:
        for mode in (OUR_MODES[name] for name in _MODES):
            crowds.append(start_crowd(mode, options.containers, profile, publisher))
            keep()
        for mode in (OUR_MODES[name] for name in _MODES):
            updates.append(update(mode, profile, publisher))
            keep()
    draw_usage(crowds, options.out.with_suffix(".svg"))
    show(crowds, updates, console)


if __name__ == "__main__":
    main()
