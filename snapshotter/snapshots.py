"""The snapshots: what containerd's calls mean, without a word of gRPC.

A call that may wait for the network holds no lock and no transaction: it records what it begins, waits, and records
how it ended. What a crash leaves in between is repaired by ``repair``.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from snapshotter.directories import SnapshotDirectories
from snapshotter.errors import (
    FsServerError,
    InvalidRequestError,
    LayerUnavailableError,
    SnapshotExistsError,
)
from snapshotter.filters import parse_filters
from snapshotter.labels import (
    REMOTE_LABEL,
    REMOTE_VALUE,
    TARGET_LABEL,
    LazyLayer,
    NotLazy,
    read_labels,
)
from snapshotter.layer_server import LayerServer
from snapshotter.mounts import Mount, mounts_of
from snapshotter.records import Kind, Record, Records, Usage

_log = logging.getLogger(__name__)


class Snapshots:
    """All snapshots under one root. Methods may be called from any thread."""

    def __init__(
        self, records: Records, directories: SnapshotDirectories, layers: LayerServer
    ) -> None:
        self._records = records
        self._directories = directories
        self._layers = layers
        self._guard = threading.Lock()
        self._targets: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<Snapshots {self._records!r}>"

    def prepare(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        """Makes a writable snapshot, or a committed one if the labels name a target that can be lazy.

        Raises:
            SnapshotExistsError: the key is taken; or the target is there now, and the layer need not be downloaded.
            SnapshotNotFoundError: there is no such parent.
            InvalidRequestError: the parent is not committed.
            LayerUnavailableError: a lazy layer below cannot be served.
        """
        target = labels.get(TARGET_LABEL)
        if target is None:
            return self._create(key, parent, Kind.ACTIVE, labels)
        with self._flight(target):
            if self._is_prepared(target):
                raise SnapshotExistsError(target, role="target snapshot")
            mounts = self._create(key, parent, Kind.ACTIVE, labels)
            if self._prepare_lazily(key, target, labels):
                raise SnapshotExistsError(target, role="target snapshot")
            return mounts

    def view(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        """Makes a read-only snapshot.

        Raises:
            SnapshotExistsError: the key is taken.
            SnapshotNotFoundError: there is no such parent.
            InvalidRequestError: the parent is not committed.
            LayerUnavailableError: a lazy layer below cannot be served.
        """
        return self._create(key, parent, Kind.VIEW, labels)

    def mounts(self, key: str) -> list[Mount]:
        """How an active snapshot or a view is mounted.

        Raises:
            SnapshotNotFoundError: there is none.
            InvalidRequestError: it is committed.
            LayerUnavailableError: a lazy layer below cannot be served.
        """
        record = self._records.get(key)
        if record.kind is Kind.COMMITTED:
            raise InvalidRequestError("key", key, "a committed snapshot has no mounts")
        own = self._directories.of(record.id)
        return mounts_of(record.kind, own, self._parent_contents(record.parent))

    def commit(self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "") -> None:
        """Turns an active snapshot into a committed one.

        Raises:
            SnapshotNotFoundError, SnapshotExistsError, SnapshotStateError, InvalidRequestError: see ``Records.commit``.
        """
        usage = self._directories.usage(self._records.get(key).id)
        self._records.commit(key, name, labels, usage, parent=parent)

    def remove(self, key: str) -> None:
        """Forgets a snapshot; ``cleanup`` frees what it took.

        Raises:
            SnapshotNotFoundError: there is none.
            SnapshotStateError: others have it as their parent.
        """
        self._records.remove(key)

    def stat(self, key: str) -> Record:
        """One snapshot.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        return self._records.get(key)

    def update(self, key: str, labels: Mapping[str, str], field_paths: Sequence[str]) -> Record:
        """Changes labels: all of them, or those that field paths name; nothing else can be changed.

        Raises:
            SnapshotNotFoundError: there is none.
            InvalidRequestError: a field path names something else.
        """
        if not field_paths:
            return self._records.set_labels(key, labels)
        changed = dict(self._records.get(key).labels)
        for path in field_paths:
            field, _, label = path.partition(".")
            if field != "labels":
                raise InvalidRequestError("field path", path, "only labels can be changed")
            if not label:
                changed = dict(labels)
            elif label in labels:
                changed[label] = labels[label]
            else:
                changed.pop(label, None)
        return self._records.set_labels(key, changed)

    def walk(self, filters: Iterable[str]) -> list[Record]:
        """The snapshots that any of the filters accepts, oldest first.

        Raises:
            InvalidFilterError: a filter cannot be read.
        """
        accepts = parse_filters(filters)
        return [record for record in self._records.all() if accepts(record)]

    def usage(self, key: str) -> Usage:
        """What a snapshot takes on disk, its parents not counted: for a lazy layer what was fetched.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        record = self._records.get(key)
        layer = _lazy_layer(record)
        if layer is not None:
            try:
                return Usage(self._layers.kept().get(layer.source.digest, 0), 1)
            except FsServerError as error:
                _log.warning("usage unknown", extra={"fields": {"key": key, "error": str(error)}})
                return Usage()
        if record.kind is Kind.COMMITTED:
            return record.usage
        return self._directories.usage(record.id)

    def cleanup(self) -> None:
        """Frees what removed snapshots left: their directories, and the layers that none needs any more."""
        # Directories are listed before records: each was made after its record, so none is taken for garbage too early.
        directories = self._directories.all()
        self._delete_unknown(directories)
        try:
            kept = self._layers.kept().keys()
            needed = {layer.source.digest for layer in self._lazy_layers()}
            for digest in kept - needed:
                self._layers.detach(digest)
        except FsServerError as error:
            _log.warning("layers were not cleaned up", extra={"fields": {"error": str(error)}})

    def repair(self) -> None:
        """Puts right what a crash left: half-made directories, and records that never got theirs."""
        self._delete_unknown(self._directories.all())
        for record in self._records.all():
            if self._directories.exists(record.id):
                continue
            if record.kind is Kind.COMMITTED:
                fields = {"name": record.name, "id": record.id}
                _log.error("a snapshot has lost its content", extra={"fields": fields})
            self._directories.create(record.id, record.kind, owner=None)

    def _create(self, key: str, parent: str, kind: Kind, labels: Mapping[str, str]) -> list[Mount]:
        record = self._records.create(key, parent, kind, labels)
        try:
            parents = self._parent_contents(parent)
            self._directories.create(record.id, kind, owner=parents[0] if parents else None)
        except BaseException:
            self._records.remove(key)
            raise
        return mounts_of(kind, self._directories.of(record.id), parents)

    def _parent_contents(self, parent: str) -> list[Path]:
        """The content directories of a parent and those below it, lazy ones made sure to be served."""
        chain = self._records.chain(parent)
        for record in chain:
            layer = _lazy_layer(record)
            if layer is not None:
                self._serve(record, layer)
        return [self._directories.of(record.id).content for record in chain]

    def _serve(self, record: Record, layer: LazyLayer) -> None:
        """Makes sure that a lazy layer is attached and that its link leads there."""
        try:
            directory = self._layers.attach(layer)
        except FsServerError as error:
            raise LayerUnavailableError(str(layer.source.digest), str(error)) from error
        if self._directories.linked(record.id) != directory:
            self._directories.link(record.id, directory)

    def _is_prepared(self, target: str) -> bool:
        record = self._records.find(target)
        if record is None or record.kind is not Kind.COMMITTED:
            return False
        layer = _lazy_layer(record)
        if layer is not None:
            self._serve(record, layer)
        return True

    def _prepare_lazily(self, key: str, target: str, labels: Mapping[str, str]) -> bool:
        """Serves a layer instead of having it downloaded, where that can be done; says so in the log."""
        layer = read_labels(labels)
        if isinstance(layer, NotLazy):
            _tell(logging.INFO, key, prepared=False, reason=layer.reason)
            return False
        try:
            directory = self._layers.attach(layer)
        except (LayerUnavailableError, FsServerError) as error:
            _tell(logging.WARNING, key, prepared=False, reason=str(error))
            return False
        self._directories.link(self._records.get(key).id, directory)
        self._records.commit(key, target, {REMOTE_LABEL: REMOTE_VALUE}, Usage())
        _tell(logging.INFO, key, prepared=True, reason="")
        return True

    def _lazy_layers(self) -> list[LazyLayer]:
        layers = (_lazy_layer(record) for record in self._records.all())
        return [layer for layer in layers if layer is not None]

    def _delete_unknown(self, directories: Iterable[Path]) -> None:
        known = self._records.ids()
        for directory in directories:
            if self._directories.is_of(directory, known):
                continue
            try:
                self._directories.delete(directory)
            except OSError as error:
                fields = {"directory": str(directory), "error": str(error)}
                _log.warning("cannot delete a removed snapshot", extra={"fields": fields})

    @contextmanager
    def _flight(self, target: str) -> Iterator[None]:
        """Holds a target: racing pulls of an image wait here for the first."""
        with self._guard:
            lock = self._targets.setdefault(target, threading.Lock())
        with lock:
            yield


def _lazy_layer(record: Record) -> LazyLayer | None:
    if REMOTE_LABEL not in record.labels:
        return None
    layer = read_labels(record.labels)
    return layer if isinstance(layer, LazyLayer) else None


def _tell(level: int, key: str, *, prepared: bool, reason: str) -> None:
    """The line that tools look for: was a layer prepared lazily, and if not, why."""
    message = "prepared remote snapshot" if prepared else "failed to prepare remote snapshot"
    fields = {"remote-snapshot-prepared": "true" if prepared else "false", "key": key}
    if reason:
        fields["error"] = reason
    _log.log(level, message, extra={"fields": fields})
