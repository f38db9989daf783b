"""Spans of time in rows, as text and as a chart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

_COLORS = {
    "step": "#909090",
    "rpc": "#e0b050",
    "opening": "#c07098",
    "containerd": "#4878a8",
    "fetch": "#70a868",
    "cpu": "#d06050",
}
_BAR_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time: of which kind, from when to when in seconds since the start, and what it was."""

    kind: str
    began: float
    ended: float
    label: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def covered_seconds(spans: Iterable[Span], began: float, ended: float) -> float:
    """How much of an interval at least one of the spans covers."""
    total, position = 0.0, began
    for span in sorted(spans, key=lambda span: span.began):
        start, end = max(span.began, position), min(span.ended, ended)
        if end > start:
            total += end - start
            position = end
    return total


def text_rows(spans: Sequence[Span], total_seconds: float) -> list[str]:
    """A line for each span: when, how long, a bar, what."""
    rows = []
    scale = _BAR_CHARACTERS / total_seconds
    for span in sorted(spans, key=lambda span: (span.began, -span.ended)):
        first = min(int(span.began * scale), _BAR_CHARACTERS - 1)
        length = max(1, round(span.seconds * scale))
        bar = (" " * first + "#" * length)[:_BAR_CHARACTERS].ljust(_BAR_CHARACTERS)
        rows.append(
            f"{span.began * 1000:7.0f} ms {span.seconds * 1000:7.0f} ms |{bar}| {span.kind:10} {span.label}"
        )
    return rows


def draw(spans: Sequence[Span], title: str, path: Path) -> None:
    """The same as a chart; the suffix of the file's name says of which type."""
    ordered = sorted(spans, key=lambda span: (span.began, -span.ended))
    figure = Figure(figsize=(11, 1.5 + 0.16 * len(ordered)))
    axes = figure.subplots()
    for row, span in enumerate(ordered):
        axes.barh(row, span.seconds, left=span.began, color=_COLORS[span.kind], height=0.8)
        axes.text(span.ended, row, f" {span.label}", va="center", size=5)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_xlabel("seconds since the start")
    axes.set_title(title, size=9, loc="left")
    kinds = {span.kind for span in ordered}
    handles = [
        axes.barh(0, 0, color=color, label=kind) for kind, color in _COLORS.items() if kind in kinds
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=7)
    figure.savefig(
        path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None
    )
