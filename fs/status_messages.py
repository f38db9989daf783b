"""Statistics as messages of the control socket (``fs/proto/control.proto``)."""

from fs.cache_usage import CacheStatistics
from fs.durations import Histogram
from fs.fetch_counters import FetchStatistics, Transfer
from fs.layer import LayerStatistics
from fs.proto import control_pb2


def layer_message(statistics: LayerStatistics) -> control_pb2.LayerStatus:
    """What is here of a layer, and what it cost."""
    return control_pb2.LayerStatus(
        layer_digest=str(statistics.layer),
        reference=str(statistics.reference),
        blob_bytes=statistics.blob_bytes,
        fetched_bytes=statistics.received_bytes,
        content_bytes=statistics.content_bytes,
        present_bytes=statistics.present_bytes,
        requests=statistics.requests,
        verify_failures=statistics.verify_failures,
        last_error=statistics.last_error,
        landed_bytes=statistics.landed_bytes,
        disk_bytes=statistics.disk_bytes,
        shared_bytes=statistics.shared_bytes,
        fetching=fetch_message(statistics.fetching),
        last_used=statistics.last_used,
    )


def cache_message(statistics: CacheStatistics) -> control_pb2.CacheStatus:
    """What all layers together hold."""
    return control_pb2.CacheStatus(
        used_bytes=statistics.used_bytes,
        limit_bytes=statistics.limit_bytes,
        evicted_bytes=statistics.evicted_bytes,
        shared_bytes=statistics.shared_bytes,
        unkept_writes=statistics.unkept_writes,
        disk_error=statistics.disk_error,
    )


def fetch_message(statistics: FetchStatistics) -> control_pb2.FetchStatus:
    """What fetching has cost, and for whom."""
    return control_pb2.FetchStatus(
        demand=_transfer(statistics.demand),
        prefetch=_transfer(statistics.prefetch),
        background=_transfer(statistics.background),
        hits=statistics.hits,
        waits=statistics.waits,
        retries=statistics.retries,
        verify_failures=statistics.verify_failures,
    )


def duration_message(histogram: Histogram) -> control_pb2.DurationHistogram:
    """How long one operation takes."""
    return control_pb2.DurationHistogram(
        operation=histogram.operation.value, counts=histogram.counts, seconds=histogram.seconds
    )


def _transfer(transfer: Transfer) -> control_pb2.Transfer:
    return control_pb2.Transfer(requests=transfer.requests, bytes=transfer.bytes_received)
