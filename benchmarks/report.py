"""What results look like: a table on the terminal, and a Markdown page with charts. Ratios come first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.budgets import verdicts
from benchmarks.charts import draw_bars, draw_bytes, draw_timelines
from benchmarks.modes import baseline_of
from benchmarks.results import Case, Results, Summary

_COLUMNS = (
    "workload", "mode", "of full pull", "ready", "p95", "pull", "create", "run",
    "requests", "MB", "CPU s", "RSS MB", "n",
)  # fmt: skip
_BUDGET_COLUMNS = ("what, at 1 Gbit/s and 10 ms", "stargz-snapshotter", "budget", "measured", "met")


def show_table(results: Results, console: Console) -> None:
    """Prints one table for each profile."""
    summaries = results.summaries()
    for profile in _profiles(summaries):
        table = Table(*_COLUMNS, title=profile)
        for row in _rows(summaries, profile):
            table.add_row(*row)
        console.print(table)


def write_report(results: Results, path: Path) -> None:
    """Writes the page, and the charts it shows, beside the results.

    A file beside it whose name ends in ``.notes.md`` is taken in: what was found out about the figures.
    """
    summaries = results.summaries()
    if not summaries:
        return
    notes = path.with_suffix(".notes.md")
    parts = ["# Startup latency", _introduction(results, path)]
    if notes.exists():
        parts.append(notes.read_text().strip())
    if rows := _budget_rows(summaries):
        parts += ["## Budgets", _markdown(_BUDGET_COLUMNS, rows)]
    for profile in _profiles(summaries):
        bars, sizes = (
            path.with_name(f"{path.stem}-{profile}-{what}.svg") for what in ("time", "bytes")
        )
        draw_bars(summaries, profile, bars)
        draw_bytes(summaries, profile, sizes)
        charts = f"![time until ready]({bars.name})\n\n![bytes until ready]({sizes.name})"
        parts += [f"## {profile}", _markdown(_COLUMNS, _rows(summaries, profile)), charts]
        timelines = path.with_name(f"{path.stem}-{profile}-fetches.svg")
        if draw_timelines(results.samples, profile, timelines):
            parts.append(f"![what was fetched when]({timelines.name})")
    parts.append("## Machines\n\n" + _machines(results.runs))
    path.write_text("\n\n".join(parts) + "\n")


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
    return list(dict.fromkeys(profile for _, profile, _ in sorted(summaries)))


def _rows(summaries: Mapping[Case, Summary], profile: str) -> Iterator[list[str]]:
    for case in sorted(case for case in summaries if case[1] == profile):
        workload, _, mode = case
        summary = summaries[case]
        baseline = summaries.get((workload, profile, baseline_of(mode)))
        ratio = f"{summary.total_seconds / baseline.total_seconds:.2f}" if baseline else "-"
        is_ours = summary.rss_bytes > 0
        yield [
            workload,
            mode,
            ratio,
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


def _budget_rows(summaries: Mapping[Case, Summary]) -> list[list[str]]:
    return [
        [v.what, f"{v.reference:g}", f"{v.budget:.3g}", f"{v.measured:.3g}", v.outcome]
        for v in verdicts(summaries)
    ]


def _machines(runs: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for run in runs for key in run))
    return _markdown(columns, ([str(run.get(key, "")) for key in columns] for run in runs))


def _markdown(columns: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
