"""The snapshots: what containerd's calls mean, without a word of gRPC.

A layer that can be served lazily is *begun* (a record), *attached* (by the fs server; this may wait for the
network, so no lock and no transaction is held) and *finished* (committed under the name containerd asked for).
What a crash leaves in between is put right by ``repair``, or is garbage that containerd collects.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fs.layer_source import LayerSource
from snapshotter.directories import SnapshotDirectories
from snapshotter.errors import (
    FsServerError,
    LayerUnavailableError,
    SnapshotExistsError,
    SnapshotNotFoundError,
    SnapshotStateError,
)
from snapshotter.filters import parse_filters
from snapshotter.former_mounts import unmount_below
from snapshotter.id_mapping import parse_id_mapping
from snapshotter.labels import (
    REMOTE,
    REMOTE_VALUE,
    SOURCE_LABELS,
    TARGET,
    NotLazy,
    check_labels,
    parse_source,
)
from snapshotter.lazy_layers import LazyLayers
from snapshotter.mapped_layers import MappedLayers
from snapshotter.mounts import Kind, Mount, plan_mounts
from snapshotter.records import Record, SnapshotRecords, Usage
from snapshotter.verdicts import Verdict, Verdicts

_log = logging.getLogger(__name__)


class Snapshots:
    """All snapshots under one root. Methods may be called from any thread.

    ``overlay_options`` are those that each overlay needs on this machine.
    """

    def __init__(
        self,
        records: SnapshotRecords,
        directories: SnapshotDirectories,
        layers: LazyLayers,
        verdicts: Verdicts,
        overlay_options: tuple[str, ...] = (),
    ) -> None:
        self._records = records
        self._directories = directories
        self._layers = layers
        self._verdicts = verdicts
        self._mapped = MappedLayers()
        self._overlay_options = overlay_options

    def __repr__(self) -> str:
        return f"<Snapshots {self._records!r}>"

    def prepare(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        """Makes a writable snapshot; or a committed one, if the labels name a target that can be served lazily.

        Raises:
            SnapshotExistsError: the key is taken; or the target is there, and nothing need be downloaded.
            SnapshotNotFoundError: there is no such parent.
            InvalidRequestError: the key is empty, or the parent is not committed.
            InvalidLabelError: a label is too long, or makes no sense.
            IdMappingError: the layers below cannot be shown to the users that the labels name.
            LayerUnavailableError: a lazy layer below cannot be served.
            FsServerError: there is a lazy layer below, and no fs server.
            OSError: the disk is full or broken.
        """
        check_labels(labels)
        target = labels.get(TARGET)
        if target and self._serve_target(target, key, parent, labels):
            raise SnapshotExistsError(target, role="target snapshot")
        return self._create(Kind.ACTIVE, key, parent, labels)

    def view(self, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        """Makes a read-only snapshot.

        Raises:
            SnapshotterError: as ``prepare``, but never because of a target.
            OSError: the disk is full or broken.
        """
        check_labels(labels)
        return self._create(Kind.VIEW, key, parent, labels)

    def mounts(self, key: str) -> list[Mount]:
        """How an active snapshot or a view is mounted; the lazy layers below are served when this returns.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            SnapshotStateError: it is committed.
            IdMappingError: the layers below cannot be shown to its users any more.
            LayerUnavailableError: a lazy layer below cannot be served.
            FsServerError: there is a lazy layer below, and no fs server.
        """
        own, *parents = self._records.chain(key)
        if own.kind is Kind.COMMITTED:
            raise SnapshotStateError(key, "is committed, only active ones and views can be mounted")
        self._layers.ensure_ready(parents)
        return self._plan(own, parents)

    def commit(self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "") -> None:
        """Turns an active snapshot into a committed one; ``parent`` may name what it was made without.

        Raises:
            SnapshotterError: as ``SnapshotRecords.commit``.
            InvalidLabelError: a label is too long.
            OSError: the content cannot be read.
        """
        check_labels(labels)
        usage = self._directories.usage(self._records.get(key).id)
        self._records.commit(key, name, labels=labels, usage=usage, parent=parent)

    def remove(self, key: str) -> None:
        """Forgets a snapshot; ``cleanup`` frees what it took.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            SnapshotStateError: it is the parent of another one.
        """
        self._records.remove(key)

    def stat(self, key: str) -> Record:
        """One snapshot.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
        """
        return self._records.get(key)

    def update(
        self, name: str, labels: Mapping[str, str], fieldpaths: Sequence[str] = ()
    ) -> Record:
        """Changes all labels, or those that field paths name; a lazy layer keeps those that tell its source.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            InvalidRequestError: a field path names anything but labels.
            InvalidLabelError: a label is too long.
        """
        check_labels(labels)
        keep = SOURCE_LABELS if REMOTE in self._records.get(name).labels else frozenset()
        return self._records.update_labels(name, labels, fieldpaths, keep=keep)

    def walk(self, filters: Iterable[str] = ()) -> Iterator[Record]:
        """The snapshots that any of the filters accepts; all of them if there is no filter.

        Raises:
            InvalidFilterError: a filter cannot be read.
        """
        return filter(parse_filters(filters), self._records.walk())

    def usage(self, key: str) -> Usage:
        """What a snapshot takes on disk, its parents not counted; of a lazy layer, what was fetched.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            OSError: the content cannot be read.
        """
        record = self._records.get(key)
        if REMOTE in record.labels:
            return Usage(self._layers.fetched_bytes(record))
        if record.kind is Kind.COMMITTED:
            return record.usage
        return self._directories.usage(record.id)

    def cleanup(self) -> None:
        """Frees what removed snapshots left: their directories, and layers that no snapshot needs any more."""
        # Directories are listed before records: each is younger than its record, so none is misjudged.
        directories = self._directories.present()
        self._delete_unknown(directories)
        try:
            self._layers.detach_unneeded()
        except FsServerError as error:
            _log.warning("layers not cleaned up", extra={"fields": {"error": str(error)}})

    def repair(self) -> None:
        """Puts right what a crash left. Only for a start, before anything else is called.

        Raises:
            OSError: the disk is full or broken.
        """
        unmount_below(self._directories.root)
        self._directories.delete_unfinished()
        self._delete_unknown(self._directories.present())
        for record in self._records.walk():
            if self._directories.exists(record.id) or REMOTE in record.labels:
                continue  # links of lazy layers are renewed when they are used
            if record.kind is Kind.COMMITTED:
                fields = {"key": record.name, "id": record.id}
                _log.error("snapshot has lost its content", extra={"fields": fields})
            else:
                mapping = parse_id_mapping(record.labels)
                owner = mapping.owner if mapping else None
                self._directories.create(record.id, record.kind, owner=owner)

    def _create(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        parents = self._records.chain(parent) if parent else []
        self._layers.ensure_ready(parents)
        mapping = parse_id_mapping(labels)
        owner = mapping.owner if mapping else None
        if owner is None and parents:
            owner = self._directories.owner_of(parents[0].id)
        with self._begun(kind, key, parent, labels) as record:
            self._directories.create(record.id, kind, owner=owner)
        return self._plan(record, parents)

    def _plan(self, own: Record, parents: Iterable[Record]) -> list[Mount]:
        directory = self._directories.of(own.id)
        layers = [self._directories.of(record.id).fs for record in parents]
        mapping = parse_id_mapping(own.labels)
        if mapping is not None and layers:
            layers = self._mapped.show(directory.lower, layers, mapping)
        return plan_mounts(own.kind, directory, layers, self._overlay_options)

    @contextlib.contextmanager
    def _begun(
        self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]
    ) -> Iterator[Record]:
        """A record that is forgotten again if what follows fails."""
        record = self._records.create(kind, key, parent, labels)
        try:
            yield record
        except BaseException:
            with contextlib.suppress(SnapshotNotFoundError):
                self._records.remove(key)
            raise

    def _serve_target(self, target: str, key: str, parent: str, labels: Mapping[str, str]) -> bool:
        """Serves a layer instead of having it downloaded, if that is possible; says so in the log."""
        source = parse_source(labels)
        try:
            if self._is_served(target, parent):
                self._tell_prepared(key, target)
                return True
            if isinstance(source, NotLazy):
                self._tell_not_prepared(key, target, Verdict.NOT_ESTARGZ, source.reason)
                return False
            self._attach_and_commit(source, target, key, parent, labels)
        except LayerUnavailableError as error:
            self._tell_not_prepared(key, target, Verdict.UNAVAILABLE, str(error))
            return False
        except FsServerError as error:
            self._tell_not_prepared(key, target, Verdict.NO_FS_SERVER, str(error))
            return False
        except _TargetTakenError:
            reason = f"{target} exists over another parent"
            self._tell_not_prepared(key, target, Verdict.TARGET_TAKEN, reason)
            return False
        self._tell_prepared(key, target)
        return True

    def _tell_prepared(self, key: str, target: str) -> None:
        self._verdicts.note(Verdict.LAZY, target)
        fields = {"key": key, "target": target, "remote-snapshot-prepared": "true"}
        _log.info("prepared remote snapshot", extra={"fields": fields})

    def _tell_not_prepared(self, key: str, target: str, verdict: Verdict, reason: str) -> None:
        self._verdicts.note(verdict, target, reason)
        level = logging.INFO if verdict is Verdict.NOT_ESTARGZ else logging.WARNING
        fields = {"key": key, "remote-snapshot-prepared": "false", "error": reason}
        _log.log(level, "failed to prepare remote snapshot", extra={"fields": fields})

    def _is_served(self, target: str, parent: str) -> bool:
        """Whether a target is committed, over that parent, and readable.

        containerd looks the target up by name and parent, so one over another parent (the same chain unpacked
        in another namespace, say) would only make it fail.
        """
        record = self._records.find(target)
        if record is None:
            return False
        if record.kind is not Kind.COMMITTED or record.parent != parent:
            raise _TargetTakenError
        if record.labels.get(TARGET) != target:
            raise _TargetTakenError
        self._layers.ensure_served([record])
        return True

    def _attach_and_commit(
        self, source: LayerSource, target: str, key: str, parent: str, labels: Mapping[str, str]
    ) -> None:
        try:
            with self._begun(Kind.ACTIVE, key, parent, labels) as begun:
                directory = self._layers.attach(source)
                self._directories.create_link(begun.id, directory)
                kept = {**labels, REMOTE: REMOTE_VALUE}
                self._records.commit(key, target, labels=kept, usage=Usage())
        except SnapshotExistsError as error:
            # A racing pull was faster: what was begun here is garbage now.
            if error.name != target or not self._is_served(target, parent):
                raise

    def _delete_unknown(self, directories: Iterable[Path]) -> None:
        for directory, error in self._directories.delete_unknown(directories, self._records.ids()):
            fields = {"directory": str(directory), "error": str(error)}
            _log.warning("cannot delete a removed snapshot", extra={"fields": fields})


class _TargetTakenError(Exception):
    """The target's name belongs to a snapshot that containerd could not use in its place."""
