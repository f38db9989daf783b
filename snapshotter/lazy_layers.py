"""Lazy layers as snapshots need them: attached once, attached again when lost, detached when nobody needs them.

No lock is held while the fs server works. A layer is never attached and detached at the same time.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fs.layer_source import LayerSource
from registry.digest import Digest
from snapshotter.directories import SnapshotDirectories
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.flights import Flights
from snapshotter.labels import REMOTE, TARGET, parse_source
from snapshotter.layer_server import LayerServer
from snapshotter.mounts import Kind
from snapshotter.records import Record, SnapshotRecords

_log = logging.getLogger(__name__)
_ATTACHING_THREADS = 8
_DETACH = "detach"

_Sources = Sequence[tuple[Record, LayerSource]]
_Ask = Callable[[Collection[Digest]], set[Digest]]


class LazyLayers:
    """The lazy layers that records tell of, and the server that serves them."""

    def __init__(
        self, records: SnapshotRecords, directories: SnapshotDirectories, server: LayerServer
    ) -> None:
        self._records = records
        self._directories = directories
        self._server = server
        self._flights = Flights()

    def __repr__(self) -> str:
        return f"<LazyLayers of {self._server!r}>"

    def attach(self, source: LayerSource) -> Path:
        """Makes a layer readable and tells where; racing calls for the same layer share one attempt.

        The snapshot that needs the layer must have its record by now, lest the layer be detached again.

        Raises:
            LayerUnavailableError: it cannot be served.
            FsServerError: there is no fs server.
        """
        return self._flights.run(source.digest, source, lambda: self._server.attach(source))

    def ensure_served(self, records: Iterable[Record]) -> None:
        """Attaches again those layers of these snapshots that the server lost; usually one local call.

        Raises:
            LayerUnavailableError: one cannot be served.
            FsServerError: there is a lazy layer, and no fs server.
            OSError: the disk is full or broken.
        """
        self._serve_lost(_sources(records), self._server.missing)

    def ensure_ready(self, records: Iterable[Record]) -> None:
        """As ``ensure_served``, for a container that starts: settings may make it wait for what is fetched ahead.

        Raises:
            LayerUnavailableError: one cannot be served.
            FsServerError: there is a lazy layer, and no fs server.
            OSError: the disk is full or broken.
        """
        sources = _sources(records)
        if self._serve_lost(sources, self._server.missing_at_start):
            self._server.missing_at_start(_digests(sources))

    def fetched_bytes(self, record: Record) -> int:
        """How much of a lazy snapshot's content is on disk; nothing, as long as nobody can tell."""
        try:
            layer = self._server.served().get(_source(record).digest)
        except (LayerUnavailableError, FsServerError) as error:
            fields = {"key": record.name, "error": str(error)}
            _log.warning("usage of a lazy layer is unknown", extra={"fields": fields})
            return 0
        return layer.present_bytes if layer else 0

    def detach_unneeded(self) -> None:
        """Detaches the layers that no snapshot needs any more.

        Raises:
            FsServerError: there is no fs server.
        """
        # Records are read after the server is asked: each is older than its layer, so none is overlooked.
        served = self._server.served()
        for layer in served.keys() - self._needed():
            self._detach(layer)

    def _detach(self, layer: Digest) -> None:
        def detach() -> None:
            # Looked at again within the flight: a snapshot begun since then needs the layer, or waits for this.
            if layer not in self._needed():
                self._server.detach(layer)

        self._flights.run(layer, _DETACH, detach)

    def _needed(self) -> set[Digest]:
        sources = (parse_source(r.labels) for r in self._records.walk() if _may_need(r))
        return {source.digest for source in sources if isinstance(source, LayerSource)}

    def _serve_lost(self, sources: _Sources, ask: _Ask) -> bool:
        """Attaches what the server, when asked, says is missing, and what lost its link; tells whether there was any."""
        if not sources:
            return False
        missing = ask(_digests(sources))
        lost = [
            (record, source)
            for record, source in sources
            if source.digest in missing or self._directories.link_target(record.id) is None
        ]
        with ThreadPoolExecutor(_ATTACHING_THREADS, "attach") as threads:
            list(threads.map(lambda pair: self._serve_again(*pair), lost))
        return bool(lost)

    def _serve_again(self, record: Record, source: LayerSource) -> None:
        self._directories.relink(record.id, self.attach(source))


def _sources(records: Iterable[Record]) -> _Sources:
    return [(record, _source(record)) for record in records if REMOTE in record.labels]


def _digests(sources: _Sources) -> list[Digest]:
    return [source.digest for _, source in sources]


def _source(record: Record) -> LayerSource:
    source = parse_source(record.labels)
    if isinstance(source, LayerSource):
        return source
    raise LayerUnavailableError(record.name, source.reason)


def _may_need(record: Record) -> bool:
    """Whether a snapshot is a lazy layer, or is just becoming one."""
    return REMOTE in record.labels or (record.kind is Kind.ACTIVE and TARGET in record.labels)
