"""What Prometheus is told.

The names that dashboards for containerd-stargz-grpc use are kept (namespace ``stargz``, subsystem ``fs``); what else there is to
tell begins with ``pyestargz_``. The number of series is bounded by the number of layers that are mounted: series go with
their layer, and no histogram is kept per layer (its label ``layer`` is empty).
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from registry.digest import Digest
from snapshotter.errors import FsServerError
from snapshotter.layer_server import ServedLayer
from snapshotter.verdicts import Verdict

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MILLISECONDS = tuple(2**power for power in range(15))  # 1 … 16384, as dashboards expect
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)

Served = Callable[[], Mapping[Digest, ServedLayer]]


class DaemonMetrics:
    """All metrics of a daemon.

    Args:
        served: Asks the fs server what it serves; may raise ``FsServerError``.
        verdicts: How often layers were and were not lazy.
    """

    def __init__(self, served: Served, verdicts: Callable[[], Mapping[Verdict, int]]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_Layers(served))
        self._registry.register(_Verdicts(verdicts))
        self._mounts = Histogram(
            "stargz_fs_operation_duration_milliseconds",
            "Time of operations; the label layer is always empty.",
            ("operation_type", "layer"),
            buckets=_MILLISECONDS,
            registry=self._registry,
        )
        self._calls = Histogram(
            "pyestargz_call_duration_seconds",
            "Time of containerd's calls.",
            ("method", "code"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def observe_mount(self, seconds: float) -> None:
        """A layer was mounted."""
        self._mounts.labels(operation_type="mount", layer="").observe(seconds * 1000)

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


class _Layers:
    """What the fs server says, asked when Prometheus asks; only that it is down, when it is."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        try:
            layers = self._served()
        except FsServerError:
            yield GaugeMetricFamily("pyestargz_fs_server_up", _UP, value=0)
            return
        yield GaugeMetricFamily("pyestargz_fs_server_up", _UP, value=1)
        yield GaugeMetricFamily("pyestargz_layers", "Layers that are mounted.", value=len(layers))
        for name, meaning, read in _PER_LAYER:
            family = GaugeMetricFamily(name, meaning, labels=("digest", "mountpoint"))
            for layer in layers.values():
                family.add_metric((str(layer.layer_digest), layer.directory), read(layer))
            yield family


_UP = "Whether the fs server answers."
_PER_LAYER: tuple[tuple[str, str, Callable[[ServedLayer], float]], ...] = (
    ("stargz_fs_layer_size_bytes", "Size of the layer's blob.", lambda layer: layer.blob_bytes),
    ("stargz_fs_layer_fetched_size_bytes", "Bytes received of the blob.",
     lambda layer: layer.fetched_bytes),
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
