"""What results look like: a table on the terminal, and a Markdown page with charts. Ratios come first."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.budgets import NAMES, verdicts
from benchmarks.charts import draw_bars, draw_bytes, draw_timelines
from benchmarks.modes import baseline_of
from benchmarks.results import Case, Results, Summary, in_order

_COLUMNS = (
    "workload", "mode", "of full pull", "ready", "p95", "pull", "create", "run",
    "requests", "MB", "CPU s", "RSS MB", "n",
)  # fmt: skip
_BUDGET_COLUMNS = (
    "what, at 1 Gbit/s and 10 ms", "stargz-snapshotter", "budget", "measured", "n", "met", "why not",
)  # fmt: skip


def show_table(results: Results, console: Console) -> None:
    """Prints one table for each profile."""
    summaries = results.summaries()
    for profile in _profiles(summaries):
        table = Table(*_COLUMNS, title=profile)
        for row in _rows(summaries, profile):
            table.add_row(*row)
        console.print(table)


def results_document(results: Results) -> list[dict[str, Any]]:
    """The figures of all cases, as ``--json`` prints them."""
    summaries = results.summaries()
    documents = []
    for case in sorted(summaries, key=in_order):
        workload, profile, mode = case
        names = {"workload": workload, "profile": profile, "mode": mode}
        documents.append(
            names | {"of_full_pull": _ratio(summaries, case)} | asdict(summaries[case])
        )
    return documents


def write_report(results: Results, path: Path) -> None:
    """Writes the page, and the charts it shows, beside the results.

    Files beside it are taken in, and never written: one whose name ends in ``.notes.md``, what was found out about the figures; and one
    that ends in ``.reasons.toml``, why budgets are missed, by what the table calls them.

    Raises:
        ValueError: there is a reason for something that is not a budget.
    """
    summaries = results.summaries()
    if not summaries:
        return
    parts = ["# Startup latency", _introduction(results, path)]
    parts.append("## In short")
    parts += [_overview(summaries, profile) for profile in _profiles(summaries)]
    if missing := {case for run in results.runs for case in run.get("left_out", ())}:
        parts.append(f"Not measured, for want of time: {', '.join(sorted(missing))}.")
    notes = path.with_suffix(".notes.md")
    if notes.exists():
        parts.append(notes.read_text().strip())
    if rows := _budget_rows(summaries, _reasons(path)):
        parts += ["## Budgets", _markdown(_BUDGET_COLUMNS, rows)]
    for profile in _profiles(summaries):
        parts += [f"## {profile}", _markdown(_COLUMNS, _rows(summaries, profile))]
        parts += _draw_charts(results, summaries, profile, path)
    parts.append("## Machines\n\n" + _machines(results.runs))
    path.write_text("\n\n".join(parts) + "\n")


def _draw_charts(
    results: Results, summaries: Mapping[Case, Summary], profile: str, path: Path
) -> Iterator[str]:
    """What shows them on the page."""
    bars, sizes, timelines = (
        path.with_name(f"{path.stem}-{profile}-{what}.svg") for what in ("time", "bytes", "fetches")
    )
    draw_bars(summaries, profile, bars)
    yield f"![time until ready]({bars.name})"
    if draw_bytes(summaries, profile, sizes):
        yield f"![bytes until ready]({sizes.name})"
    if draw_timelines(results.samples, profile, timelines):
        yield f"![what was fetched when]({timelines.name})"


def _introduction(results: Results, path: Path) -> str:
    return (
        f"Made from {len(results.samples)} samples in [{path.stem}.json]({path.stem}.json). Times are medians, in seconds, of "
        "starts of a container whose image is not on the node (`warm`: whose layers are): *pull*, *create* and *run* until it "
        "is ready. *Of full pull* is the time as a fraction of that of `overlayfs`, for `warm` of `overlayfs-warm`. "
        "*Requests* and *MB* are what passed over the network until ready, without token requests, refusals and "
        "redirects; *CPU* and *RSS* are those of the snapshotter's processes. "
        "The method is explained in [docs/benchmarks.md](../../docs/benchmarks.md); "
        "`make bench` repeats it."
    )


def _profiles(summaries: Mapping[Case, Summary]) -> list[str]:
    return list(dict.fromkeys(profile for _, profile, _ in sorted(summaries, key=in_order)))


def _ratio(summaries: Mapping[Case, Summary], case: Case) -> float | None:
    """A case's time as a fraction of that of what it is compared with."""
    workload, profile, mode = case
    baseline = summaries.get((workload, profile, baseline_of(mode)))
    return summaries[case].total_seconds / baseline.total_seconds if baseline else None


def _ratio_text(summaries: Mapping[Case, Summary], case: Case) -> str:
    ratio = _ratio(summaries, case) if case in summaries else None
    return "-" if ratio is None else f"{ratio:.2f}"


def _overview(summaries: Mapping[Case, Summary], profile: str) -> str:
    """Ratios: a row for each workload, a column for each mode; last the seconds that they are fractions of."""
    cases = sorted((case for case in summaries if case[1] == profile), key=in_order)
    full = sorted({baseline_of(mode) for _, _, mode in cases})
    modes = {mode for _, _, mode in cases} - set(full)
    columns = sorted(modes, key=lambda mode: in_order(("", profile, mode)))
    rows = []
    for workload in dict.fromkeys(workload for workload, _, _ in cases):
        found = [summaries.get((workload, profile, mode)) for mode in full]
        seconds = [f"{summary.total_seconds:.1f} s" if summary else "-" for summary in found]
        ratios = [_ratio_text(summaries, (workload, profile, mode)) for mode in columns]
        rows.append([workload, *ratios, *seconds])
    return _markdown([f"{profile}: time / full pull", *columns, *full], rows)


def _rows(summaries: Mapping[Case, Summary], profile: str) -> Iterator[list[str]]:
    for case in sorted((case for case in summaries if case[1] == profile), key=in_order):
        workload, _, mode = case
        summary = summaries[case]
        is_ours = summary.rss_bytes > 0
        yield [
            workload,
            mode,
            _ratio_text(summaries, case),
            f"{summary.total_seconds:.2f}",
            f"{summary.p95_seconds:.2f}",
            f"{summary.pull_seconds:.2f}",
            f"{summary.create_seconds:.2f}",
            f"{summary.run_seconds:.2f}",
            f"{summary.requests:.0f}",
            f"{summary.bytes_down / 1e6:.2f}",
            f"{summary.cpu_seconds:.2f}" if is_ours else "-",
            f"{summary.rss_bytes / 1e6:.0f}" if is_ours else "-",
            str(summary.samples),
        ]


def _reasons(path: Path) -> dict[str, str]:
    file = path.with_suffix(".reasons.toml")
    return tomllib.loads(file.read_text()) if file.exists() else {}


def _budget_rows(summaries: Mapping[Case, Summary], reasons: Mapping[str, str]) -> list[list[str]]:
    if unknown := reasons.keys() - set(NAMES):
        raise ValueError(f"reasons for what is not a budget: {', '.join(sorted(unknown))}")
    return [
        [
            verdict.what,
            f"{verdict.reference:g}",
            f"{verdict.budget:.3g}",
            f"{verdict.measured:.3g}",
            str(verdict.samples),
            "yes" if verdict.is_met else "no",
            "" if verdict.is_met else reasons.get(verdict.what, ""),
        ]
        for verdict in verdicts(summaries)
    ]


def _machines(runs: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for run in runs for key in run if key != "left_out"))
    return _markdown(columns, ([str(run.get(key, "")) for key in columns] for run in runs))


def _markdown(columns: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
