"""How long until a container is ready whose image is not here, and what it costs: lazily, and by full pulls.

    python -m benchmarks.startup [--workload NAME]... [--profile NAME]... [--mode NAME]... [-n N] [--minutes M] [--out FILE]

Each sample begins with a new containerd, a new snapshotter with an empty state directory, a new network, and an empty page
cache. What is compared takes turns in random order. Samples are added to ``--out`` as they are taken: an
interrupted run is continued by the same command, and more samples are added by a larger ``-n``. The
report beside it is made anew each time. docs/benchmarks.md explains the method.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.images import DEFAULT_MODEL_BYTES, recipes
from benchmarks.modes import OUR_MODES, configured_modes, peer_modes, take_samples
from benchmarks.network import PROFILES
from benchmarks.planning import (
    Plan,
    Turn,
    case_of,
    estimate_seconds,
    fitting,
    foresee,
    left_out,
    plan_turns,
)
from benchmarks.publishing import Publisher
from benchmarks.report import results_document, show_table, write_report
from benchmarks.results import Results, Sample
from benchmarks.workloads import WORKLOADS

_ROOT = Path(__file__).parents[1]
DEFAULT_CACHE = _ROOT / "build/benchmarks"
RESULTS = _ROOT / "benchmarks/results"
_NOT_BY_DEFAULT = ("tiny",)


def plans(options: argparse.Namespace) -> list[Plan]:
    """All that is to be measured."""
    modes = [OUR_MODES[name] for name in options.mode or OUR_MODES]
    modes += peer_modes(dict(options.peer), dict(options.peer_reset))
    configured = configured_modes(dict(options.config))
    with_configs = options.config_workload or WORKLOADS
    return [
        (WORKLOADS[workload], PROFILES[profile], mode)
        for workload in options.workload or WORKLOADS
        if options.workload or workload not in _NOT_BY_DEFAULT
        for profile in options.profile or PROFILES
        for mode in (*modes, *(configured if workload in with_configs else ()))
    ]


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
        help=f"default: all but {', '.join(_NOT_BY_DEFAULT)}",
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
        "--config-workload",
        action="append",
        choices=WORKLOADS,
        help="measure --config with this workload only; may be repeated",
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
        help="how long samples may be taken; what will be taken then is said before",
    )
    add("--build-only", action="store_true", help="make the images that are missing, and no more")
    add("--plan-only", action="store_true", help="say what would be measured, and no more")
    add("--report-only", action="store_true", help="take no samples")
    add("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    return parser.parse_args(arguments)  # fmt: skip


def measure(options: argparse.Namespace, console: Console, results: Results) -> None:
    """Takes what samples are missing, as far as there is time."""
    made = recipes(model_bytes=options.model_bytes)
    with Publisher(options.cache, made, console.print) as publisher:
        turns = _missing_turns(options, publisher, results)
        seconds = 60 * options.minutes
        _show_plan(turns, seconds, console)
        if options.plan_only or options.build_only:
            return
        run = machine.describe()
        results.runs.append(run)
        # What is made once does not count.
        began = time.monotonic()
        taken: list[Turn] = []
        for turn in fitting(turns, lambda: time.monotonic() - began, seconds=seconds):
            _take(turn, publisher, results, console)
            taken.append(turn)
        if missing := left_out(turns, taken):
            run["left_out"] = [" over ".join(cell) for cell in missing]
            results.save()


def _missing_turns(
    options: argparse.Namespace, publisher: Publisher, results: Results
) -> list[Turn]:
    def estimate(plan: Plan) -> float:
        workload, _, mode = plan
        known = [s.total_seconds for s in results.samples if s.case == case_of(plan)]
        return estimate_seconds(
            plan,
            image_bytes=sum(publisher.publish(workload, mode.variant).layer_bytes.values()),
            known_seconds=statistics.median(known) if known else None,
        )

    return plan_turns(plans(options), n=options.n, count=results.count, estimate=estimate)


def _show_plan(turns: Sequence[Turn], seconds: float, console: Console) -> None:
    outlook = foresee(turns, seconds=seconds)
    console.print(f"plan: {outlook.samples} samples, ~{outlook.seconds / 60:.0f} minutes")
    rounds: dict[tuple[str, str], int] = {}
    for turn in outlook.turns:
        rounds[turn.cell] = turn.number
    for profile in PROFILES:
        names = [f"{name} {n}" for (name, network), n in rounds.items() if network == profile]
        if names:
            console.print(f"  {profile}, samples of each mode: {', '.join(sorted(names))}")
    for (workload, profile), needed in outlook.left_out.items():
        console.print(f"  left out: {workload} over {profile}: ~{needed / 60:.0f} minutes a turn")


def _take(turn: Turn, publisher: Publisher, results: Results, console: Console) -> None:
    began = time.monotonic()
    for workload, profile, mode in turn.plans:
        published = publisher.publish(workload, mode.variant)
        for name, start in take_samples(mode, workload, profile, published).items():
            case = (workload.name, profile.name, name)
            sample = Sample.of(start, run=len(results.runs) - 1, case=case)
            results.add(sample)
            console.print(
                f"{workload.name:10} {profile.name:14} {name:16} {sample.total_seconds:7.2f} s "
                f"= {sample.pull_seconds:.2f} + {sample.create_seconds:.2f} + {sample.run_seconds:.2f}; "
                f"{sample.bytes_down / 1e6:.2f} MB, {sample.answered_requests} requests"
            )
    elapsed = time.monotonic() - began
    console.print(f"turn {turn.number}: {elapsed:.0f} s, expected {turn.seconds:.0f} s")


def main() -> None:
    options = parse_options()
    console = Console(width=130, stderr=options.as_json)  # stdout is for the JSON
    results = Results.load(options.out)
    if not options.report_only:
        measure(options, console, results)
    if options.plan_only or options.build_only:
        return
    if options.as_json:
        print(json.dumps(results_document(results), indent=2))
    else:
        show_table(results, console)
    write_report(results, options.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
