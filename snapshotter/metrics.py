"""What Prometheus is told.

The names that dashboards for containerd-stargz-grpc use are kept (namespace ``stargz``, subsystem ``fs``); what else there is to
tell begins with ``pyestargz_``. The number of series is bounded by the number of layers that are mounted: series go with
their layer, and no histogram is kept per layer (its label ``layer`` is empty).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

import fs.durations
from fs.cache_usage import CacheStatistics
from fs.durations import Unit
from fs.fetch_counters import FetchStatistics
from snapshotter.errors import FsServerError
from snapshotter.layer_server import FsStatus, ServedLayer
from snapshotter.verdicts import Verdict

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)

Status = Callable[[], FsStatus]


class DaemonMetrics:
    """All metrics of a daemon.

    Args:
        status: Asks the fs server; may raise ``FsServerError``.
        verdicts: How often layers were and were not lazy.
    """

    def __init__(self, status: Status, verdicts: Callable[[], Mapping[Verdict, int]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_FsServer(status))
        self._registry.register(_Verdicts(verdicts))
        self._calls = Histogram(
            "pyestargz_call_duration_seconds",
            "Time of containerd's calls.",
            ("method", "code"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """A call of containerd was answered; the code is that of gRPC."""
        self._calls.labels(method=method, code=code).observe(seconds)

    def expose(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Verdicts:
    def __init__(self, verdicts: Callable[[], Mapping[Verdict, int]]) -> None:
        self._verdicts = verdicts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "pyestargz_prepared_layers",
            "Layers that containerd wanted served, by what came of it: lazy, or why not.",
            labels=("verdict",),
        )
        for verdict, count in self._verdicts().items():
            family.add_metric((verdict.value,), count)
        yield family


class _FsServer:
    """What the fs server says, asked when Prometheus asks; only that it is down, when it is."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        try:
            status = self._status()
        except FsServerError:
            yield GaugeMetricFamily("pyestargz_fs_server_up", _UP, value=0)
            return
        yield GaugeMetricFamily("pyestargz_fs_server_up", _UP, value=1)
        yield GaugeMetricFamily("pyestargz_layers", "Layers mounted.", value=len(status.layers))
        yield from _fetching(status.fetching)
        for unit in Unit:
            yield _durations(unit, status.durations)
        if status.cache is not None:
            yield from _cache(status.cache)
        for name, meaning, read in _PER_LAYER:
            family = GaugeMetricFamily(name, meaning, labels=("digest", "mountpoint"))
            for layer in status.layers.values():
                family.add_metric((str(layer.layer_digest), layer.directory), read(layer))
            yield family


def _fetching(fetching: FetchStatistics) -> Iterator[Metric]:
    """Since the fs server started: Prometheus knows counters that begin anew."""
    requests = CounterMetricFamily(
        "pyestargz_fetch_requests", "Requests for content, by priority.", labels=("priority",)
    )
    received = CounterMetricFamily(
        "pyestargz_fetch_bytes", "Bytes received for content, by priority.", labels=("priority",)
    )
    for priority in ("demand", "prefetch", "background"):
        transfer = getattr(fetching, priority)
        requests.add_metric((priority,), transfer.requests)
        received.add_metric((priority,), transfer.bytes_received)
    reads = CounterMetricFamily(
        "pyestargz_reads", "Reads of files, by whether they had to wait.", labels=("outcome",)
    )
    reads.add_metric(("hit",), fetching.hits)
    reads.add_metric(("wait",), fetching.waits)
    yield from (requests, received, reads)
    yield CounterMetricFamily("pyestargz_fetch_retries", "Requests made again.", fetching.retries)
    wrong = fetching.verify_failures
    yield CounterMetricFamily("pyestargz_verify_failures", "Wrong content received.", wrong)
    yield from _as_dashboards_expect(fetching)


def _as_dashboards_expect(fetching: FetchStatistics) -> Iterator[Metric]:
    labels = ("operation_type", "layer")
    count = CounterMetricFamily("stargz_fs_operation_count", "Operations.", labels=labels)
    count.add_metric(("on_demand_read_access_count", ""), fetching.hits + fetching.waits)
    count.add_metric(("on_demand_remote_registry_fetch_count", ""), fetching.demand.requests)
    served = GaugeMetricFamily("stargz_fs_bytes_served", "Bytes.", labels=labels)
    served.add_metric(("on_demand_bytes_fetched", ""), fetching.demand.bytes_received)
    yield from (count, served)


def _durations(unit: Unit, histograms: Sequence[fs.durations.Histogram]) -> Metric:
    family = HistogramMetricFamily(
        f"stargz_fs_operation_duration_{unit.name.lower()}",
        "Time of the fs server's operations; the label layer is always empty.",
        labels=("operation_type", "layer"),
    )
    for histogram in histograms:
        if histogram.operation.unit is unit:
            labels = (histogram.operation.value, "")
            total = histogram.seconds * unit.value
            family.add_metric(labels, buckets=list(histogram.cumulative()), sum_value=total)
    return family


def _cache(cache: CacheStatistics) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "pyestargz_cache_used_bytes", "Disk that content takes.", cache.used_bytes
    )
    yield GaugeMetricFamily(
        "pyestargz_cache_limit_bytes", "Disk that it may take.", cache.limit_bytes
    )
    for name, meaning, value in (
        ("pyestargz_cache_evicted_bytes", "Content given up to make room.", cache.evicted_bytes),
        ("pyestargz_cache_shared_bytes", "Content copied from other layers.", cache.shared_bytes),
        ("pyestargz_cache_unkept_writes", "Content served and not kept.", cache.unkept_writes),
    ):
        yield CounterMetricFamily(name, meaning, value)


_UP = "Whether the fs server answers."
_PER_LAYER: tuple[tuple[str, str, Callable[[ServedLayer], float]], ...] = (
    ("stargz_fs_layer_size_bytes", "Size of the layer's blob.", lambda layer: layer.blob_bytes),
    ("stargz_fs_layer_fetched_size_bytes", "Bytes received of the blob.",
     lambda layer: layer.fetched_bytes),
    ("stargz_fs_layer_prefetch_size_bytes", "Bytes received ahead of reads.",
     lambda layer: layer.fetching.prefetch.bytes_received),
    ("pyestargz_layer_content_bytes", "Size of the layer's files.",
     lambda layer: layer.content_bytes),
    ("pyestargz_layer_present_bytes", "Content of files that is verified and on disk.",
     lambda layer: layer.present_bytes),
    ("pyestargz_layer_requests", "Requests made for the layer.", lambda layer: layer.requests),
    ("pyestargz_layer_verify_failures", "Chunks that came with wrong content.",
     lambda layer: layer.verify_failures),
    ("pyestargz_layer_failing", "Whether the last thing known of fetching is an error.",
     lambda layer: bool(layer.last_error)),
)  # fmt: skip
