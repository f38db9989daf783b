"""Fetching over an emulated network: how much of the line is used, how long readers wait, and for how many requests.

    python -m benchmarks.fetching [--rtt-ms N] [--mbit N] [--big-mib N] [--json FILE]

Each row is a new fs server in front of the same layer: a large file in sequence; the background that completes a layer; small
files at random, alone and while the background is at work. The line's own rate is the measure of the first two, its round
trip that of the others.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fs_tree import BIG, RegistryLayer, Tree, make_tree, push_tree
from benchmarks.machine import describe
from benchmarks.network import PROFILES, EmulatedNetwork, NetworkProfile
from fs.filling import FillSettings
from fs.settings import Backend, FsSettings
from tests.fs.fs_server import FsServer
from tests.real_registry import RealRegistry

_SMALL_FILES, _RANDOM_READS = 4000, 100
_BLOCK_BYTES = 1 << 20
_POLL_SECONDS = 0.02
# Background begins at once, and goes on as soon as nobody waits.
_FILL = FillSettings(prefetch=False, quiet_seconds=0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured.

    Attributes:
        what: of what.
        seconds: how long it took in all.
        line_share: of what the line could have carried in that time, how much came; in compressed bytes.
        median_round_trips: how long half of the reads waited at the most, in round trips.
        slow_round_trips: the same of nine tenths of them.
        requests: for content.
        received_bytes: compressed.
    """

    what: str
    seconds: float
    line_share: float
    median_round_trips: float | None
    slow_round_trips: float | None
    requests: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Bench:
    """A layer behind a network."""

    tree: Tree
    layer: RegistryLayer
    registry: RealRegistry
    profile: NetworkProfile
    work: Path

    @contextmanager
    def server(self, filling: FillSettings) -> Iterator[tuple[FsServer, RegistryLayer]]:
        """A new server that reaches the registry through the network only."""
        with (
            EmulatedNetwork(self.registry.host, self.profile) as network,
            tempfile.TemporaryDirectory(dir=self.work) as directory,
            FsServer(Path(directory), FsSettings(backend=Backend.FUSE, filling=filling)) as server,
        ):
            reference = self.layer.reference.replace(self.registry.host, network.host)
            yield server, replace(self.layer, reference=reference)

    def measure(self, what: str, filling: FillSettings, work: "Work") -> Row:
        with self.server(filling) as (server, layer):
            directory = server.attach(layer)
            before = server.status(layer)
            begin = time.perf_counter()
            waits = work(server, layer, directory)
            seconds = time.perf_counter() - begin
            after = server.status(layer)
        received = after.fetched_bytes - before.fetched_bytes
        round_trips = [wait / (self.profile.rtt_ms / 1000) for wait in waits]
        return Row(
            what,
            seconds,
            received / (self.profile.mbit * 1e6 / 8 * seconds),
            statistics.median(round_trips) if round_trips else None,
            statistics.quantiles(round_trips, n=10)[-1] if round_trips else None,
            after.requests - before.requests,
            received,
        )

    def in_sequence(self, _server: FsServer, _layer: RegistryLayer, directory: Path) -> list[float]:
        buffer = bytearray(_BLOCK_BYTES)
        with (directory / BIG).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
        return []

    def until_complete(
        self, server: FsServer, layer: RegistryLayer, _directory: Path
    ) -> list[float]:
        while (status := server.status(layer)).present_bytes < status.content_bytes:
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - nobody tells another process that it is done
        return []

    def at_random(self, _server: FsServer, _layer: RegistryLayer, directory: Path) -> list[float]:
        choose = random.Random(3)  # noqa: S311 - the same files every time
        waits = []
        for number in choose.sample(range(self.tree.small_files), _RANDOM_READS):
            begin = time.perf_counter()
            (directory / self.tree.small(number)).read_bytes()
            waits.append(time.perf_counter() - begin)
        return waits


Work = Callable[[FsServer, RegistryLayer, Path], list[float]]


def measure_all(bench: Bench) -> list[Row]:
    unasked = replace(_FILL, background=False)
    return [
        bench.measure("large file in sequence", unasked, bench.in_sequence),
        bench.measure("background until complete", _FILL, bench.until_complete),
        bench.measure(f"{_RANDOM_READS} small files at random", unasked, bench.at_random),
        bench.measure("the same beside the background", _FILL, bench.at_random),
    ]


def print_table(rows: list[Row], profile: NetworkProfile) -> None:
    table = Table(title=f"{profile.mbit:g} Mbit/s, round trip {profile.rtt_ms:g} ms")
    for column in ("", "seconds", "of the line", "median wait", "90 %", "requests", "MB"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        waits = (row.median_round_trips, row.slow_round_trips)
        told = ("" if wait is None else f"{wait:.2f} round trips" for wait in waits)
        megabytes = f"{row.received_bytes / 1e6:.1f}"
        share = f"{100 * row.line_share:.0f} %"
        table.add_row(row.what, f"{row.seconds:.2f}", share, *told, str(row.requests), megabytes)
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rtt-ms", type=float, default=20.0)
    parser.add_argument("--mbit", type=float, default=200.0)
    parser.add_argument("--big-mib", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    profile = replace(PROFILES["loopback"], rtt_ms=options.rtt_ms, mbit=options.mbit)
    with tempfile.TemporaryDirectory(prefix="pyestargz-benchmark-") as name:
        work = Path(name)
        with RealRegistry(work) as registry:
            tree = make_tree(
                work / "tree", small_files=_SMALL_FILES, big_bytes=options.big_mib << 20
            )
            layer = push_tree(tree, registry, work)
            rows = measure_all(Bench(tree, layer, registry, profile, work))
    print_table(rows, profile)
    if options.json is not None:
        told = {"machine": describe(), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
