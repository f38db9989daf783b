"""Layers as file systems: how fast they are read, against the same files on the disk and in an overlayfs.

    python -m benchmarks.fs [--columns disk,overlayfs,fuse,erofs,complete,native] [--small-files N] [--big-mib N] [--rounds N] [--json FILE]

One run makes a tree of 50,000 small files and one of 1 GiB, and the same as a layer in a registry. Each column serves it;
they take turns, and the median of the rounds counts. *Cold* is with all the kernel's caches dropped, the content being on
the disk; *warm* is again at once. What is not fetched yet is read first, from a registry on loopback. Then the fs server
alone: what it holds and does with 30 layers, and with one of 100,000 files.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.fs_columns import COLUMNS, Material, Served
from benchmarks.fs_daemon import measure_daemon
from benchmarks.fs_measures import CACHED, Timing, measure_cached, measure_fetching
from benchmarks.fs_tree import Tree, kept_tree
from benchmarks.machine import describe
from tests.real_registry import RealRegistry

Results = dict[str, dict[str, Timing]]  # by measure, then by column


def measure_columns(tree: Tree, served: dict[str, Served], *, rounds: int) -> Results:
    samples: defaultdict[tuple[str, str], list[Timing]] = defaultdict(list)
    for column, one in served.items():
        for measure, timing in measure_fetching(tree, one).items():
            samples[measure, column].append(timing)
    for name in CACHED:
        for _ in range(rounds):
            for column, one in served.items():
                for measure, timing in measure_cached(name, tree, one).items():
                    samples[measure, column].append(timing)
    results: defaultdict[str, dict[str, Timing]] = defaultdict(dict)
    for (measure, column), timings in samples.items():
        results[measure][column] = _median(timings)
    return dict(results)


def _median(timings: list[Timing]) -> Timing:
    return Timing(
        statistics.median(timing.seconds for timing in timings),
        statistics.median(timing.served_cpu_seconds for timing in timings),
    )


def print_table(results: Results, columns: list[str], daemon: dict[str, float]) -> None:
    console = Console(width=140)
    table = Table(title="seconds (CPU seconds of who serves), times overlayfs")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for measure, row in results.items():
        base = row.get("overlayfs")
        table.add_row(measure, *(_cell(row.get(column), base) for column in columns))
    console.print(table)
    for name, value in daemon.items():
        console.print(f"{name}: {value:.4g}")


def _cell(timing: Timing | None, base: Timing | None) -> str:
    if timing is None:
        return ""
    times = "" if base is None else f"  {timing.seconds / base.seconds:5.2f} x"
    cpu = f" ({timing.served_cpu_seconds:.2f})" if timing.served_cpu_seconds else ""
    return f"{timing.seconds:.3f}{cpu}{times}"


def report(
    results: Results, daemon: dict[str, float], options: argparse.Namespace
) -> dict[str, Any]:
    return {
        "machine": describe(),
        "small_files": options.small_files,
        "big_mib": options.big_mib,
        "rounds": options.rounds,
        "seconds": {
            measure: {column: asdict(timing) for column, timing in row.items()}
            for measure, row in results.items()
        },
        "daemon": daemon,
    }


def run(options: argparse.Namespace, kept: Path, work: Path) -> tuple[Results, dict[str, float]]:
    """Everything, in these two directories; nothing stays mounted."""
    with RealRegistry(kept) as registry:
        tree, layer = kept_tree(
            kept, registry, small_files=options.small_files, big_bytes=options.big_mib << 20
        )
        with ExitStack() as stack:
            served = {}
            for column in options.columns.split(","):
                own = work / column
                own.mkdir()
                material = Material(tree, layer, own)
                served[column] = stack.enter_context(COLUMNS[column](material))
            results = measure_columns(tree, served, rounds=options.rounds)
        return results, {} if options.no_daemon else measure_daemon(registry, work / "daemon")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--columns", default=",".join(COLUMNS), help=f"of {', '.join(COLUMNS)}")
    parser.add_argument("--small-files", type=int, default=50_000)
    parser.add_argument("--big-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--no-daemon", action="store_true", help="leave out what is told of the server alone"
    )
    parser.add_argument("--kept", type=Path, help="keep tree and registry there, for the next run")
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyestargz-benchmark-") as name:
        work = Path(name)
        kept = options.kept or work / "kept"
        kept.mkdir(parents=True, exist_ok=True)
        results, daemon = run(options, kept, work)
    print_table(results, options.columns.split(","), daemon)
    if options.json is not None:
        options.json.write_text(json.dumps(report(results, daemon, options), indent=2) + "\n")


if __name__ == "__main__":
    main()
