"""Charts of results, as SVG: what a start is made of, what it moves, and when."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Case, Sample, Summary, in_order

_STEPS = (("pull", "#4878a8"), ("create", "#e0b050"), ("run", "#70a868"))
_MB = 1e6
_LEAST_MB = 0.1  # where the logarithmic axis begins
_TIMELINES = ("unoptimized", "optimized")

mpl.rcParams["svg.hashsalt"] = "pyestargz"  # the same results make the same file


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def _cases(summaries: Mapping[Case, Summary], profile: str) -> list[Case]:
    """From the top of the chart to its bottom."""
    return sorted((case for case in summaries if case[1] == profile), key=in_order)


def _places(cases: Sequence[Case]) -> list[float]:
    """Where each bar is, from the top: one row each, and half a row between workloads."""
    workloads = list(dict.fromkeys(workload for workload, _, _ in cases))
    return [-row - workloads.index(case[0]) / 2 for row, case in enumerate(cases)]


def _figure(cases: Sequence[Case], places: Sequence[float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 1.2 + 0.2 * -min(places)))
    axes = figure.subplots()
    axes.set_yticks(places, [f"{workload}, {mode}" for workload, _, mode in cases], size=7)
    axes.set_ylim(min(places) - 0.7, 0.7)
    return figure, axes


def draw_bars(summaries: Mapping[Case, Summary], profile: str, path: Path) -> None:
    """Time until ready: a bar for each workload and mode, of pull, create and run, as a fraction of the workload's full pull.

    Where there is a workload without a full pull, bars are in seconds. The seconds stand beside the bars.
    """
    cases = _cases(summaries, profile)
    places = _places(cases)
    figure, axes = _figure(cases, places)
    full = [summaries.get((workload, profile, "overlayfs")) for workload, _, _ in cases]
    units = [pull.total_seconds for pull in full if pull]
    is_relative = len(units) == len(cases)
    if not is_relative:
        units = [1.0] * len(cases)
    left = [0.0] * len(cases)
    for step, color in _STEPS:
        seconds = [getattr(summaries[case], f"{step}_seconds") for case in cases]
        lengths = [length / unit for length, unit in zip(seconds, units, strict=True)]
        axes.barh(places, lengths, left=left, label=step, color=color)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    for case, place, end in zip(cases, places, left, strict=True):
        text = f" {summaries[case].total_seconds:.2f} s, n = {summaries[case].samples}"
        axes.text(end, place, text, va="center", size=7)
    axes.set_xlim(0, 1.15 * max(left))
    what = "time until ready / that from a full pull" if is_relative else "seconds until ready"
    axes.set_xlabel(f"{what}, {profile}, medians")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(_STEPS), frameon=False)
    _save(figure, path)


def draw_bytes(summaries: Mapping[Case, Summary], profile: str, path: Path) -> bool:
    """Bytes over the network until ready, on a logarithmic scale; whether there is a first start to show."""
    # A second start, of layers that are here, moves only a manifest.
    cases = [case for case in _cases(summaries, profile) if not case[2].endswith("warm")]
    if not cases:
        return False
    places = _places(cases)
    figure, axes = _figure(cases, places)
    sizes = [summaries[case].bytes_down / _MB for case in cases]
    axes.barh(places, sizes, color=_STEPS[0][1])
    for case, place, size in zip(cases, places, sizes, strict=True):
        text = f" {size:.2f} MB in {summaries[case].requests:.0f} requests"
        axes.text(size, place, text, va="center", size=7)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_MB, 10 * max(*sizes, _LEAST_MB))
    axes.set_xlabel(f"MB over the network until ready, {profile}, median")
    _save(figure, path)
    return True


def draw_timelines(samples: Sequence[Sample], profile: str, path: Path) -> bool:
    """When each range was fetched, in the last sample of each lazy first start of ours; whether there is one."""
    wanted = {
        (sample.workload, sample.mode): sample
        for sample in samples
        if sample.profile == profile and sample.mode in _TIMELINES and sample.fetches
    }
    if not wanted:
        return False
    workloads = sorted({workload for workload, _ in wanted})
    figure = Figure(figsize=(11, 0.6 + 1.5 * len(workloads)))
    all_axes = figure.subplots(len(workloads), len(_TIMELINES), squeeze=False, sharex="row")
    for row, workload in enumerate(workloads):
        for column, mode in enumerate(_TIMELINES):
            if (workload, mode) in wanted:
                _draw_timeline(all_axes[row, column], wanted[workload, mode])
            else:
                all_axes[row, column].set_axis_off()
    figure.supxlabel(
        "seconds since the start; each line is a request, its width its size; dashed: pulled, created, ready",
        size=8,
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
