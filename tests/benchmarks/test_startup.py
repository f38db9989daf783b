"""The harness is honest: what it measures is what users would do, and what is not lazy fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.modes import OUR_MODES, peer_modes, take_samples
from benchmarks.network import PROFILES, EmulatedNetwork, Request
from benchmarks.publishing import Published, Variant
from benchmarks.report import write_report
from benchmarks.results import Results, Sample, percentile
from benchmarks.starts import FellBackError
from benchmarks.startup import parse_options, plans
from benchmarks.workloads import WORKLOADS, Line, NotReadyError
from tests.benchmarks.hello import HELLO, PROFILE
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import run_command
from tests.e2e.snapshotter_process import Snapshotter

FUSE = Path(__file__).parents[2] / "benchmarks/fuse.toml"


def asked_for(requests: list[Request]) -> list[tuple[str, str, int, int]]:
    return sorted(
        (r.method, r.path, r.status, r.body_bytes) for r in requests if "/blobs/" in r.path
    )


@pytest.mark.containerd
@pytest.mark.registry
def test_the_control_run_is_what_ctr_does_by_hand(plain: Published) -> None:
    control = replace(OUR_MODES["overlayfs"], warm_name="")
    start = take_samples(control, HELLO, PROFILE, plain)["overlayfs"]
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
    starts = take_samples(OUR_MODES["optimized"], HELLO, PROFILE, lazy)
    for name, start in starts.items():
        assert start.rss_bytes > 0
        results.add(Sample.of(start, run=0, case=("hello", "test", name)))
    cold, warm = results.samples
    assert cold.answered_requests > 2
    assert sum(size for _, _, size in cold.fetches) > 0
    assert (warm.fetches, warm.requests) == ([], {"manifest": 1, "refused": 1, "token": 1})
    assert Results.load(results.path).samples == results.samples
    write_report(results, tmp_path / "results.md")
    page = (tmp_path / "results.md").read_text()
    assert "| hello | optimized | - |" in page
    for chart in ("time", "bytes", "fetches"):
        assert (tmp_path / f"results-test-{chart}.svg").stat().st_size > 0


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_run_that_fell_back_to_a_full_pull_fails(plain: Published) -> None:
    with pytest.raises(FellBackError, match="was downloaded"):
        take_samples(OUR_MODES["unoptimized"], HELLO, PROFILE, plain)


@pytest.mark.containerd
@pytest.mark.registry
@pytest.mark.fuse
def test_a_peer_is_measured_by_the_same_code(plain: Published, lazy: Published) -> None:
    with Snapshotter() as other:
        mode, _ = peer_modes({"other": str(other.socket)}, {"other": "true"})
        take_samples(mode, HELLO, PROFILE, lazy)
        with pytest.raises(FellBackError):
            take_samples(mode, HELLO, PROFILE, plain)


@pytest.mark.containerd
@pytest.mark.registry
def test_a_container_that_is_never_ready_fails(plain: Published) -> None:
    silent = replace(HELLO, ready=Line("goodbye"))
    with pytest.raises(NotReadyError, match="goodbye"):
        take_samples(OUR_MODES["overlayfs"], silent, PROFILE, plain)


def test_all_is_measured_unless_told_otherwise() -> None:
    options = parse_options(["--config", f"fuse={FUSE}", "--config-workload", "redis"])
    wanted = plans(options)
    assert {workload.name for workload, _, _ in wanted} == WORKLOADS.keys() - {"tiny"}
    assert {profile.name for _, profile, _ in wanted} == PROFILES.keys()
    fuse = {workload.name for workload, _, mode in wanted if mode.name.startswith("fuse-")}
    assert fuse == {"redis"}


def test_optimized_images_are_made_for_each_workload() -> None:
    assert {mode.variant for mode in OUR_MODES.values()} == set(Variant)


def test_percentiles_are_of_nearest_rank() -> None:
    assert percentile([3, 1, 2], 95) == 3
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7], 50) == 7
