"""The page says ratios first, what was left out, and why budgets are missed: the last by a file that nobody but its author writes."""

from pathlib import Path

import pytest

from benchmarks.report import results_document, write_report
from benchmarks.results import Results, Sample

_PROFILE = "1gbit-10ms"
_BUDGET = "redis, optimized: time / full pull"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    runs = [{"kernel": "any", "left_out": ["ai over 100mbit-50ms"]}]
    results = Results(tmp_path / "results.json", runs=runs)
    seconds = {"overlayfs": 10, "unoptimized": 2, "optimized": 3, "overlayfs-warm": 2, "warm": 1}
    for mode, total in seconds.items():
        sample = Sample(
            run=0, workload="redis", profile=_PROFILE, mode=mode, pull_seconds=total, create_seconds=0,
            run_seconds=0, cpu_seconds=0, rss_bytes=0, connections=1, bytes_down=1, requests={}, fetches=[],
        )  # fmt: skip
        results.add(sample)
    return results


def test_ratios_come_first_and_what_was_left_out_is_named(results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path / "results.md")
    page = (tmp_path / "results.md").read_text()
    assert f"| {_PROFILE}: time / full pull | unoptimized | optimized | warm | overlayfs |" in page
    assert "| redis | 0.20 | 0.30 | 0.50 | 10.0 s | 2.0 s |" in page
    assert "Not measured, for want of time: ai over 100mbit-50ms." in page
    assert "left_out" not in page


def test_what_was_written_by_hand_is_taken_in_each_time(results: Results, tmp_path: Path) -> None:
    (tmp_path / "results.notes.md").write_text("On a quiet machine.\n")
    reasons = tmp_path / "results.reasons.toml"
    reasons.write_text(f'"{_BUDGET}" = "the pull is bound by round trips"\n')
    for _ in range(2):
        write_report(results, tmp_path / "results.md")
        page = (tmp_path / "results.md").read_text()
        assert "On a quiet machine." in page
        assert "| 0.28 | 0.168 | 0.3 | 1 | no | the pull is bound by round trips |" in page
    reasons.write_text('"redis, once" = "it was renamed"\n')
    with pytest.raises(ValueError, match="redis, once"):
        write_report(results, tmp_path / "results.md")


def test_the_document_has_all_figures(results: Results) -> None:
    documents = results_document(results)
    assert [(one["mode"], one["of_full_pull"]) for one in documents] == [
        ("overlayfs", 1.0),
        ("unoptimized", 0.2),
        ("optimized", 0.3),
        ("overlayfs-warm", 1.0),
        ("warm", 0.5),
    ]
    assert {"workload", "profile", "total_seconds", "requests", "samples"} <= documents[0].keys()
