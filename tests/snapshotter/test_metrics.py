"""Metrics as Prometheus reads them: the names of dashboards, and no more series than layers."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fs.cache_usage import CacheStatistics
from fs.durations import Durations, Operation
from fs.fetch_counters import FetchStatistics, Transfer
from registry.digest import Digest
from snapshotter.errors import FsServerError
from snapshotter.layer_server import FsStatus, ServedLayer
from snapshotter.metrics import DaemonMetrics
from snapshotter.verdicts import Verdict

LAYERS = {
    digest: ServedLayer(digest, 50, 100, 80, 40, 7, 1, "it rained", f"/mnt/{number}")
    for number, digest in enumerate(map(Digest.of, (b"a", b"b")))
}


def no_server() -> FsStatus:
    raise FsServerError("away")


def samples(metrics: DaemonMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.expose().decode())
        for sample in family.samples
    }


def test_layers_are_told_of_while_they_are_served() -> None:
    layers = dict(LAYERS)
    metrics = DaemonMetrics(lambda: FsStatus(layers=layers), dict)
    found = samples(metrics)
    first, second = map(str, LAYERS)
    assert found["stargz_fs_layer_size_bytes", first, "/mnt/0"] == 80
    assert found["stargz_fs_layer_fetched_size_bytes", second, "/mnt/1"] == 40
    assert found["pyestargz_layer_failing", first, "/mnt/0"] == 1
    assert (found["pyestargz_layers",], found["pyestargz_fs_server_up",]) == (2, 1)
    layers.clear()
    left = [name for name, *labels in samples(metrics) if first in labels]
    assert left == []


def test_a_missing_fs_server_is_told_and_does_not_fail_the_rest() -> None:
    found = samples(DaemonMetrics(no_server, lambda: {Verdict.LAZY: 3, Verdict.UNAVAILABLE: 1}))
    assert found["pyestargz_fs_server_up",] == 0
    assert ("pyestargz_layers",) not in found
    assert found["pyestargz_prepared_layers_total", "lazy"] == 3
    assert ("process_open_fds",) in found


def test_times_are_in_the_buckets_that_dashboards_expect() -> None:
    durations = Durations()
    durations.observe(Operation.MOUNT, 0.003)
    durations.observe(Operation.READ, 0.000_003)
    metrics = DaemonMetrics(lambda: FsStatus(durations=durations.statistics()), dict)
    metrics.observe_call("Prepare", "ALREADY_EXISTS", 0.02)
    found = samples(metrics)
    mounts = "stargz_fs_operation_duration_milliseconds_bucket"
    counts = [found[mounts, "", bound, "mount"] for bound in ("2.0", "4.0", "16384.0", "+Inf")]
    assert counts == [0, 1, 1, 1]
    assert found["stargz_fs_operation_duration_milliseconds_sum", "", "mount"] == pytest.approx(3)
    reads = "stargz_fs_operation_duration_microseconds_bucket"
    assert [found[reads, "", bound, "read_on_demand"] for bound in ("2.0", "4.0")] == [0, 1]
    assert found["stargz_fs_operation_duration_microseconds_count", "", "node_readdir"] == 0
    assert found["pyestargz_call_duration_seconds_count", "ALREADY_EXISTS", "Prepare"] == 1


def test_what_fetching_and_the_cache_cost() -> None:
    fetching = FetchStatistics(
        demand=Transfer(3, 300), background=Transfer(2, 5000), hits=7, waits=2, retries=1
    )
    cache = CacheStatistics(
        used_bytes=10,
        limit_bytes=20,
        evicted_bytes=5,
        shared_bytes=4,
        unkept_writes=1,
        disk_error="",
    )
    found = samples(DaemonMetrics(lambda: FsStatus(fetching=fetching, cache=cache), dict))
    assert found["pyestargz_fetch_requests_total", "demand"] == 3
    assert found["pyestargz_fetch_bytes_total", "background"] == 5000
    assert found["pyestargz_reads_total", "hit"] == 7
    assert found["pyestargz_fetch_retries_total",] == 1
    assert found["pyestargz_cache_used_bytes",] == 10
    assert found["pyestargz_cache_evicted_bytes_total",] == 5
    assert found["stargz_fs_operation_count_total", "", "on_demand_read_access_count"] == 9
    assert found["stargz_fs_bytes_served", "", "on_demand_bytes_fetched"] == 300
