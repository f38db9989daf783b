from pathlib import Path

import pytest

from benchmarks.profile import LayerFiles, summary_rows, trace
from benchmarks.publishing import Published
from benchmarks.waterfall import Span, covered_seconds, draw, text_rows
from estargz.toc import Toc, TocEntry
from tests.benchmarks.hello import HELLO, PROFILE


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_cold_start_is_seen_from_outside(lazy: Published, tmp_path: Path) -> None:
    traced = trace(HELLO, lazy, PROFILE)
    labels = [span.label for span in traced.spans]
    assert "Prepare ALREADY_EXISTS" in labels
    assert "Mounts OK" in labels
    assert any("hello" in label for label in labels)  # the range that holds the program says so
    steps = [span for span in traced.spans if span.kind == "step"]
    assert [step.label for step in steps] == ["pull", "create", "run"]
    assert sum(step.seconds for step in steps) == pytest.approx(traced.start.total_seconds)
    assert sum(traced.cpu_seconds.values()) > 0
    assert len(list(summary_rows(traced))) == 3
    draw(traced.spans, "hello", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_covered_time_is_counted_once() -> None:
    spans = [Span("rpc", 1, 3, "a"), Span("rpc", 2, 4, "b"), Span("rpc", 6, 9, "c")]
    assert covered_seconds(spans, 0, 10) == 6
    assert covered_seconds(spans, 3.5, 7) == 1.5
    assert covered_seconds([], 0, 1) == 0


def test_rows_are_in_order_of_time() -> None:
    rows = text_rows([Span("rpc", 1, 2, "later"), Span("step", 0, 2, "first")], 2)
    assert [row.split()[-1] for row in rows] == ["first", "later"]
    assert "|" + "#" * 40 + "|" in rows[0]
    assert "|" + " " * 20 + "#" * 20 + "|" in rows[1]


def test_ranges_are_named_by_the_files_in_them() -> None:
    entries = [
        TocEntry(name="etc/", type="dir"),
        TocEntry(name="a", type="reg", size=1, offset=100),
        TocEntry(name="big", type="reg", size=9, offset=200),
        TocEntry(name="big", type="chunk", offset=300),
    ]
    files = LayerFiles(Toc(entries=entries))
    assert files.in_range(0, 99) == []
    assert files.in_range(0, 250) == ["a", "big"]
    assert files.in_range(200, 999) == ["big"]
