"""The harness is honest: what it measures is what users would do, and what is not lazy fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.modes import OUR_MODES, Mode, peer_modes, take_sample
from benchmarks.network import EmulatedNetwork, Request
from benchmarks.publishing import Published, Variant
from benchmarks.report import write_report
from benchmarks.results import Results, Sample, percentile
from benchmarks.starts import FellBackError
from benchmarks.startup import missing, parse_options, plans
from benchmarks.workloads import Line, NotReadyError
from tests.benchmarks.hello import HELLO, PROFILE
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import run_command
from tests.e2e.snapshotter_process import Snapshotter


def asked_for(requests: list[Request]) -> list[tuple[str, str, int, int]]:
    return sorted(
        (r.method, r.path, r.status, r.body_bytes) for r in requests if "/blobs/" in r.path
    )


@pytest.mark.containerd
@pytest.mark.registry
def test_the_control_run_is_what_ctr_does_by_hand(plain: Published) -> None:
    start = take_sample(OUR_MODES["overlayfs"], HELLO, PROFILE, plain)
    with EmulatedNetwork(plain.host, PROFILE) as network, Containerd() as containerd:
        name = plain.image.through(network.host)
        address = ("ctr", "--address", containerd.socket)
        run_command([*address, "images", "pull", "--plain-http", name])
        assert run_command([*address, "run", "--rm", name, "by-hand", "/hello"]) == "hello\n"
        by_hand = network.traffic()
    assert asked_for([*start.traffic.requests]) == asked_for([*by_hand.requests])
    assert start.traffic.bytes_down > plain.image.layer_bytes
    assert min(start.pull_seconds, start.create_seconds, start.run_seconds) > 0


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_lazy_run_is_lazy_and_its_sample_is_kept(lazy: Published, tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", runs=[{"kernel": "any"}])
    for mode in (OUR_MODES["unoptimized"], OUR_MODES["warm"]):
        start = take_sample(mode, HELLO, PROFILE, lazy)
        assert start.rss_bytes > 0
        results.add(Sample.of(start, run=0, case=("hello", "test", mode.name)))
    cold, warm = results.samples
    assert cold.answered_requests > 2
    assert sum(size for _, _, size in cold.fetches) > 0
    assert (warm.fetches, warm.requests) == ([], {"manifest": 1, "refused": 1, "token": 1})
    assert Results.load(results.path).samples == results.samples
    write_report(results, tmp_path / "results.md")
    page = (tmp_path / "results.md").read_text()
    assert "| hello | unoptimized | - |" in page
    for chart in ("time", "bytes", "fetches"):
        assert (tmp_path / f"results-test-{chart}.svg").stat().st_size > 0


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_run_that_fell_back_to_a_full_pull_fails(plain: Published) -> None:
    with pytest.raises(FellBackError, match="was downloaded"):
        take_sample(OUR_MODES["unoptimized"], HELLO, PROFILE, plain)


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_peer_is_measured_by_the_same_code(plain: Published, lazy: Published) -> None:
    with Snapshotter() as other:
        mode, _ = peer_modes({"other": str(other.socket)}, {"other": "true"})
        take_sample(mode, HELLO, PROFILE, lazy)
        with pytest.raises(FellBackError):
            take_sample(mode, HELLO, PROFILE, plain)


@pytest.mark.containerd
@pytest.mark.registry
def test_a_container_that_is_never_ready_fails(plain: Published) -> None:
    silent = replace(HELLO, ready=Line("goodbye"))
    with pytest.raises(NotReadyError, match="goodbye"):
        take_sample(OUR_MODES["overlayfs"], silent, PROFILE, plain)


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    options = parse_options(["--workload", "tiny", "--profile", "loopback", "-n", "2"])
    wanted = plans(options)
    assert [mode.name for _, _, mode in wanted] == list(OUR_MODES)
    results = Results(tmp_path / "results.json")
    todo = list(missing(wanted, results, n=2))
    assert len(todo) == 2 * len(wanted)
    assert sorted(map(str, todo[: len(wanted)])) == sorted(map(str, wanted))  # whole rounds
    for workload, profile, mode in todo[:7]:
        results.add(sample(workload.name, profile.name, mode))
    again = missing(wanted, Results.load(results.path), n=2)
    assert sorted(map(str, again)) == sorted(map(str, todo[7:]))


def sample(workload: str, profile: str, mode: Mode) -> Sample:
    return Sample(
        run=0, workload=workload, profile=profile, mode=mode.name, pull_seconds=1, create_seconds=1,
        run_seconds=1, cpu_seconds=0, rss_bytes=0, connections=1, bytes_down=1, requests={}, fetches=[],
    )  # fmt: skip


def test_optimized_images_are_made_for_each_workload() -> None:
    assert {mode.variant for mode in OUR_MODES.values()} == set(Variant)


def test_percentiles_are_of_nearest_rank() -> None:
    assert percentile([3, 1, 2], 95) == 3
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7], 50) == 7
