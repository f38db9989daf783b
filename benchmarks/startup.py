"""How long until a container is ready whose image is not here, and what it costs: lazily, and by full pulls.

    python -m benchmarks.startup [--workload NAME]... [--profile NAME]... [--mode NAME]... [-n N] [--out FILE]

Each sample begins with a new containerd, a new snapshotter with an empty state directory, a new network, and an empty page
cache. What is compared takes turns in random order. Samples are added to ``--out`` as they are taken: an
interrupted run is continued by the same command, and more samples are added by a larger ``-n``. The
report beside it is made anew each time. docs/benchmarks.md explains the method.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.images import DEFAULT_MODEL_BYTES, recipes
from benchmarks.modes import OUR_MODES, Mode, configured_modes, peer_modes, take_sample
from benchmarks.network import PROFILES, NetworkProfile
from benchmarks.publishing import Publisher
from benchmarks.report import show_table, write_report
from benchmarks.results import Results, Sample
from benchmarks.workloads import WORKLOADS, Workload

_ROOT = Path(__file__).parents[1]
DEFAULT_CACHE = _ROOT / "build/benchmarks"
RESULTS = _ROOT / "benchmarks/results"
_DEFAULT_WORKLOADS = ("python", "numpy", "node", "redis", "postgres", "nginx", "gcc", "java")

Plan = tuple[Workload, NetworkProfile, Mode]


def plans(options: argparse.Namespace) -> list[Plan]:
    """All that is to be measured."""
    modes = [OUR_MODES[name] for name in options.mode or OUR_MODES]
    modes += configured_modes(dict(options.config))
    modes += peer_modes(dict(options.peer), dict(options.peer_reset))
    return [
        (WORKLOADS[workload], PROFILES[profile], mode)
        for workload in options.workload or _DEFAULT_WORKLOADS
        for profile in options.profile or PROFILES
        for mode in modes
    ]


def missing(wanted: Sequence[Plan], results: Results, *, n: int) -> Iterator[Plan]:
    """What is left to do, round by round, in random order within each."""
    for number in range(1, n + 1):
        turn = [plan for plan in wanted if results.count(_case(plan)) < number]
        random.Random(number).shuffle(turn)  # noqa: S311 - an order that nobody chose
        yield from turn


def _case(plan: Plan) -> tuple[str, str, str]:
    workload, profile, mode = plan
    return workload.name, profile.name, mode.name


def _name_and_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--workload",
        action="append",
        choices=WORKLOADS,
        help="default: all but tiny, pandas and ai",
    )
    add("--profile", action="append", choices=PROFILES, help="default: all")
    add("--mode", action="append", choices=OUR_MODES, help="default: all")
    add("-n", type=int, default=5, help="samples of each, those in --out included (default 5)")
    add(
        "--config",
        action="append",
        type=_name_and_value,
        default=[],
        metavar="NAME=FILE",
        help="also measure ours with that configuration file",
    )
    add(
        "--peer",
        action="append",
        type=_name_and_value,
        default=[],
        metavar="NAME=SOCKET",
        help="also measure the snapshotter that listens there",
    )
    add(
        "--peer-reset",
        action="append",
        type=_name_and_value,
        default=[],
        metavar="NAME=COMMAND",
        help="shell command that makes the peer forget everything, run before each of its samples",
    )
    add("--out", type=Path, default=RESULTS / "startup.json")
    add("--cache", type=Path, default=DEFAULT_CACHE, help="built images")
    add("--model-bytes", type=int, default=DEFAULT_MODEL_BYTES, help="weights in the ai image")
    add(
        "--minutes",
        type=float,
        default=float("inf"),
        help="begin no sample when they were taken for so long",
    )
    add("--report-only", action="store_true", help="take no samples")
    return parser.parse_args(arguments)  # fmt: skip


def measure(options: argparse.Namespace, console: Console, results: Results) -> None:
    """Takes what samples are missing."""
    wanted = plans(options)
    made = recipes(model_bytes=options.model_bytes)
    with Publisher(options.cache, made, console.print) as publisher:
        for workload, _, mode in wanted:
            publisher.publish(workload, mode.variant)
        # What is made once does not count.
        end = time.monotonic() + 60 * options.minutes
        results.runs.append(machine.describe())
        for plan in missing(wanted, results, n=options.n):
            if time.monotonic() > end:
                console.print("out of time; the same command continues")
                return
            workload, profile, mode = plan
            published = publisher.publish(workload, mode.variant)
            start = take_sample(mode, workload, profile, published)
            sample = Sample.of(start, run=len(results.runs) - 1, case=_case(plan))
            results.add(sample)
            console.print(
                f"{workload.name:10} {profile.name:14} {mode.name:16} {sample.total_seconds:7.2f} s "
                f"= {sample.pull_seconds:.2f} + {sample.create_seconds:.2f} + {sample.run_seconds:.2f}; "
                f"{sample.bytes_down / 1e6:.2f} MB, {sample.answered_requests} requests"
            )


def main() -> None:
    options = parse_options()
    console = Console(width=130)
    results = Results.load(options.out)
    if not options.report_only:
        measure(options, console, results)
    show_table(results, console)
    write_report(results, options.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
