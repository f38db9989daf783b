"""Charts of results, as SVG: what a start is made of, what it moves, and when."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Case, Sample, Summary

_STEPS = (("pull", "#4878a8"), ("create", "#e0b050"), ("run", "#70a868"))
_MB = 1e6

mpl.rcParams["svg.hashsalt"] = "pyestargz"  # the same results make the same file


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def _cases(summaries: Mapping[Case, Summary], profile: str) -> list[Case]:
    return sorted((case for case in summaries if case[1] == profile), reverse=True)


def _figure(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 1.2 + 0.28 * rows))
    return figure, figure.subplots()


def draw_bars(summaries: Mapping[Case, Summary], profile: str, path: Path) -> None:
    """Time until ready: a bar for each workload and mode, of pull, create and run."""
    cases = _cases(summaries, profile)
    figure, axes = _figure(len(cases))
    left = [0.0] * len(cases)
    labels = [f"{workload}, {mode}" for workload, _, mode in cases]
    for step, color in _STEPS:
        seconds = [getattr(summaries[case], f"{step}_seconds") for case in cases]
        axes.barh(labels, seconds, left=left, label=step, color=color)
        left = [start + length for start, length in zip(left, seconds, strict=True)]
    for row, case in enumerate(cases):
        axes.text(left[row], row, f" {summaries[case].total_seconds:.2f}", va="center", size=7)
    axes.set_xlabel(f"seconds until ready, {profile}, median")
    axes.legend()
    _save(figure, path)


def draw_bytes(summaries: Mapping[Case, Summary], profile: str, path: Path) -> None:
    """Bytes over the network until ready, on a logarithmic scale."""
    cases = _cases(summaries, profile)
    figure, axes = _figure(len(cases))
    labels = [f"{workload}, {mode}" for workload, _, mode in cases]
    sizes = [summaries[case].bytes_down / _MB for case in cases]
    axes.barh(labels, sizes, color=_STEPS[0][1])
    for row, case in enumerate(cases):
        text = f" {sizes[row]:.2f} MB in {summaries[case].requests:.0f} requests"
        axes.text(sizes[row], row, text, va="center", size=7)
    axes.set_xscale("log")
    axes.set_xlabel(f"MB over the network until ready, {profile}, median")
    _save(figure, path)


def draw_timelines(samples: Sequence[Sample], profile: str, path: Path) -> bool:
    """When each range was fetched, in the last sample of each lazy case; whether there is one."""
    wanted = {
        sample.case: sample
        for sample in samples
        if sample.profile == profile and sample.rss_bytes and sample.fetches
    }
    if not wanted:
        return False
    figure = Figure(figsize=(9, 1.6 * len(wanted)))
    all_axes = figure.subplots(len(wanted), squeeze=False)
    for axes, case in zip(all_axes[:, 0], sorted(wanted), strict=True):
        _draw_timeline(axes, wanted[case])
    all_axes[-1, 0].set_xlabel(
        "seconds since the start; each line is a request, its width its size; dashed: pulled, created, ready"
    )
    figure.tight_layout()
    _save(figure, path)
    return True


def _draw_timeline(axes: Axes, sample: Sample) -> None:
    for row, (begin, end, size) in enumerate(sample.fetches):
        axes.plot([begin, end], [row, row], color=_STEPS[0][1], linewidth=1 + min(size / _MB, 6))
    created = sample.pull_seconds + sample.create_seconds
    for moment, (_, color) in zip(
        (sample.pull_seconds, created, sample.total_seconds), _STEPS, strict=True
    ):
        axes.axvline(moment, color=color, linestyle="--", linewidth=0.8)
    axes.set_title(f"{sample.workload}, {sample.mode}", size=8, loc="left")
    axes.set_yticks([])
    axes.set_xlim(left=0)
