"""The snapshotter's calls: how long each takes on its real socket, beside containerd's own overlayfs snapshotter.

    python -m benchmarks.snapshotter [--cycles N] [--layers N] [--json FILE]

An image of ten layers is there, and containers come and go: for each of the calls that containerd makes for one, the median and
the 95th percentile of the clock's time. The columns take turns in each cycle: ``overlayfs`` and ``stargz`` are asked through
one containerd's snapshots API, the latter with ordinary layers and with lazy ones; ``direct`` is the socket of another one of
ours, with the same lazy layers. Then what containerd asks for when it pulls layers that were compiled before: known ones to a server that serves
them, known ones after a restart, and ones that are there. Requests to the registry are counted.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.fs_tree import RegistryLayer, made_layers
from benchmarks.machine import describe
from benchmarks.results import percentile
from registry.digest import Digest
from snapshotter.labels import TARGET, TOC_DIGEST
from snapshotter.proto import snapshots_pb2 as pb, snapshots_pb2_grpc
from tests.e2e.containerd import Containerd
from tests.e2e.registry_log import parse_accesses, synchronize
from tests.e2e.snapshotter_process import Snapshotter
from tests.real_registry import RealRegistry

_CONFIG: Final = "no_background_fetch = true\nnoprefetch = true\n"
_FILES_EACH: Final = 1000
_BUDGET_MS: Final = 10.0
_DEADLINE_SECONDS: Final = 60.0
_ROOTED: Final = {"containerd.io/gc.root": "benchmark"}
_RESTARTS: Final = 3

Samples = defaultdict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Column:
    """Whom is asked, as whom, and the layer that containers are made upon."""

    stub: Any
    snapshotter: str
    top: str
    metadata: tuple[tuple[str, str], ...] = ()

    def call(self, method: str, request: Any) -> Any:
        """Calls; streams are read to their end."""
        request.snapshotter = self.snapshotter
        answer = getattr(self.stub, method)(
            request, metadata=self.metadata, timeout=_DEADLINE_SECONDS
        )
        return list(answer) if method == "List" else answer

    def timed(self, method: str, request: Any) -> float:
        """Calls, and tells the seconds it took."""
        begin = time.perf_counter()
        self.call(method, request)
        return time.perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock's time of one call."""

    samples: int
    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        """Of at least one sample."""
        milliseconds = [1000 * value for value in seconds]
        p95 = percentile(milliseconds, 95)
        return cls(len(seconds), round(statistics.median(milliseconds), 3), round(p95, 3))


def live(column: Column, number: int) -> Iterator[tuple[str, float]]:
    """The calls of one container's life: it is made, looked at and removed, with a view beside it."""
    key, view = f"container-{number}", f"view-{number}"
    prepare = pb.PrepareSnapshotRequest(key=key, parent=column.top, labels=_ROOTED)
    yield "Prepare", column.timed("Prepare", prepare)
    yield "Mounts", column.timed("Mounts", pb.MountsRequest(key=key))
    yield "Stat", column.timed("Stat", pb.StatSnapshotRequest(key=key))
    yield "Usage", column.timed("Usage", pb.UsageRequest(key=key))
    request = pb.ViewSnapshotRequest(key=view, parent=column.top, labels=_ROOTED)
    yield "View", column.timed("View", request)
    yield "List", column.timed("List", pb.ListSnapshotsRequest())
    yield "Remove", column.timed("Remove", pb.RemoveSnapshotRequest(key=key))
    yield "Remove", column.timed("Remove", pb.RemoveSnapshotRequest(key=view))


def measure_lives(columns: Mapping[str, Column], *, cycles: int) -> dict[str, dict[str, Timing]]:
    """By call, then by column; the first tenth of the cycles is not counted."""
    samples: defaultdict[str, Samples] = defaultdict(lambda: defaultdict(list))
    for number in range(cycles):
        for name, column in columns.items():
            for method, seconds in live(column, number):
                if number >= cycles // 10:
                    samples[method][name].append(seconds)
    return {
        method: {name: Timing.of(seconds) for name, seconds in row.items()}
        for method, row in samples.items()
    }


def commit_plain(column: Column, count: int) -> str:
    """Makes a chain of ordinary, empty layers; gives the uppermost."""
    parent = ""
    for number in range(count):
        key, name = f"extract-plain-{number}", f"plain-{number}"
        column.call("Prepare", pb.PrepareSnapshotRequest(key=key, parent=parent, labels=_ROOTED))
        column.call("Commit", pb.CommitSnapshotRequest(name=name, key=key, labels=_ROOTED))
        parent = name
    return parent


def pull_lazily(column: Column, layers: Sequence[RegistryLayer], image: str) -> Iterator[float]:
    """Asks for the layers of an image one above the other, as containerd does; tells the seconds of each."""
    parent = ""
    for number, layer in enumerate(layers):
        chain = chain_of(image, number)
        labels = {
            **_ROOTED,
            TARGET: chain,
            TOC_DIGEST: str(layer.toc_digest),
            "containerd.io/snapshot/cri.image-ref": layer.reference,
            "containerd.io/snapshot/cri.layer-digest": str(layer.digest),
            "containerd.io/snapshot/cri.image-layers": ",".join(str(x.digest) for x in layers),
        }
        key = f"extract-{image}-{number} {chain}"
        request = pb.PrepareSnapshotRequest(key=key, parent=parent, labels=labels)
        begin = time.perf_counter()
        try:
            column.call("Prepare", request)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        else:
            raise RuntimeError(f"layer {layer.digest} was not served lazily")
        yield time.perf_counter() - begin
        parent = chain


def chain_of(image: str, number: int) -> str:
    """The name of an image's layer among snapshots."""
    return str(Digest.of(f"{image} {number}".encode()))


@contextmanager
def columns_of(
    containerd: Containerd, alone: Snapshotter, *, count: int
) -> Iterator[dict[str, Column]]:
    """All columns, without their layers."""
    top, plain = chain_of("image", count - 1), f"plain-{count - 1}"
    metadata = (("containerd-namespace", "benchmark"),)
    with (
        grpc.insecure_channel(f"unix:{containerd.socket}") as theirs,
        grpc.insecure_channel(f"unix:{alone.socket}") as ours,
    ):
        through: Any = snapshots_pb2_grpc.SnapshotsStub(theirs)  # type: ignore[no-untyped-call]
        straight: Any = snapshots_pb2_grpc.SnapshotsStub(ours)  # type: ignore[no-untyped-call]
        yield {
            "overlayfs": Column(through, "overlayfs", plain, metadata),
            "stargz, plain": Column(through, "stargz", plain, metadata),
            "stargz, lazy": Column(through, "stargz", top, metadata),
            "direct, lazy": Column(straight, "", top),
        }


def measure_known(
    snapshotter: Snapshotter, column: Column, layers: Sequence[RegistryLayer], *, cycles: int
) -> dict[str, Timing]:
    """``Prepare`` of layers that were compiled before, by how they are known."""
    served: list[float] = []
    there: list[float] = []
    restarted: list[float] = []
    for number in range(max(1, cycles // len(layers))):
        served += pull_lazily(column, layers, f"tag-{number}")
        there += pull_lazily(column, layers, f"tag-{number}")
    for number in range(_RESTARTS):
        snapshotter.stop()
        snapshotter.start()
        column.call("Stat", pb.StatSnapshotRequest(key=column.top))  # connected again
        restarted += pull_lazily(column, layers, f"restart-{number}")
    return {
        "served, new to the image": Timing.of(served),
        "there": Timing.of(there),
        "after a restart of everything": Timing.of(restarted),
    }


def measure(work: Path, *, cycles: int, count: int) -> dict[str, Any]:
    """All of it."""
    with RealRegistry(work) as registry:
        layers = list(made_layers(count, files=_FILES_EACH, registry=registry, work=work))
        with (
            Snapshotter(_CONFIG) as plugged_in,
            Snapshotter(_CONFIG) as alone,  # containerd removes what it does not know of
            Containerd(snapshotters={"stargz": plugged_in.socket}) as containerd,
            columns_of(containerd, alone, count=count) as columns,
        ):
            for name in ("overlayfs", "stargz, plain"):
                commit_plain(columns[name], count)
            new = Timing.of(list(pull_lazily(columns["direct, lazy"], layers, "image")))
            list(pull_lazily(columns["stargz, lazy"], layers, "image"))
            lives = measure_lives(columns, cycles=cycles)
            before = requests_to(registry)
            direct = columns["direct, lazy"]
            known = measure_known(alone, direct, layers, cycles=cycles)
            requests = requests_to(registry) - before
    return {
        "layers": count,
        "calls": {
            method: {name: asdict(timing) for name, timing in row.items()}
            for method, row in lives.items()
        },
        "prepare": {
            name: asdict(timing) for name, timing in {"never seen before": new, **known}.items()
        },
        "requests_for_known_layers": requests,
    }


def requests_to(registry: RealRegistry) -> int:
    """How many were answered so far."""
    synchronize(registry)
    return len(parse_accesses(registry.lines()))


def print_tables(results: Mapping[str, Any]) -> None:
    console = Console(width=130)
    names = list(results["calls"]["Prepare"])
    calls = Table(*("", *names), title="ms: median, 95th percentile; median times overlayfs")
    for method, row in results["calls"].items():
        base = row["overlayfs"]["median_ms"]
        calls.add_row(method, *(_cell(row[name], base) for name in names))
    console.print(calls)
    prepare = Table("Prepare of a lazy layer", "median", "95th", "budget", title="ms")
    for name, timing in results["prepare"].items():
        budget = "" if name == "never seen before" else f"{_BUDGET_MS:g}"
        prepare.add_row(name, f"{timing['median_ms']:.2f}", f"{timing['p95_ms']:.2f}", budget)
    console.print(prepare)
    console.print(f"requests for known layers: {results['requests_for_known_layers']}")


def _cell(timing: Mapping[str, float], base: float) -> str:
    return f"{timing['median_ms']:.2f}, {timing['p95_ms']:.2f}; {timing['median_ms'] / base:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyestargz-benchmark-") as name:
        results = measure(Path(name), cycles=options.cycles, count=options.layers)
    print_tables(results)
    if options.json is not None:
        told = {"machine": describe(), **results}
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
