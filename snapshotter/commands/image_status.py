"""Images as their snapshots tell of them: which layers are lazy, how much of them is here, what it cost. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fs.layer_source import LayerSource
from registry.digest import Digest
from snapshotter.labels import REMOTE, TARGET, NotLazy, image_of, parse_source
from snapshotter.layer_server import ServedLayer
from snapshotter.mounts import Kind
from snapshotter.records import Record

_UNPACKED = "it was unpacked when it could not be served, or nobody asked for it"


@dataclass(frozen=True, slots=True)
class LayerStatus:
    """One layer of an image.

    Attributes:
        chain: The chain id, containerd's name of the snapshot.
        digest: The layer's blob; None if nobody told.
        served: What the fs server tells of it; None for one that is not lazy, or not served now.
        not_lazy: Why it was unpacked; empty for a lazy layer.
        unpacked_bytes: What an unpacked layer takes.
    """

    chain: str
    digest: Digest | None
    served: ServedLayer | None
    not_lazy: str
    unpacked_bytes: int

    @property
    def is_lazy(self) -> bool:
        """Whether it is served, or could be."""
        return not self.not_lazy


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """An image.

    Attributes:
        reference: The name it was pulled by.
        layers: The lowest first.
        users: The keys of the snapshots directly above it: containers, mostly.
    """

    reference: str
    layers: tuple[LayerStatus, ...]
    users: tuple[str, ...]

    @property
    def is_lazy(self) -> bool:
        """Whether every layer is."""
        return all(layer.is_lazy for layer in self.layers)

    @property
    def fetched_bytes(self) -> int:
        """Compressed bytes received for the lazy layers."""
        return sum(layer.served.fetched_bytes for layer in self.layers if layer.served)

    @property
    def blob_bytes(self) -> int:
        """Compressed size of the lazy layers."""
        return sum(layer.served.blob_bytes for layer in self.layers if layer.served)


def image_statuses(
    records: Iterable[Record], served: Mapping[Digest, ServedLayer], reasons: Mapping[str, str]
) -> list[ImageStatus]:
    """The images that snapshots belong to, by name.

    An image is found by its topmost layer: those below may have come with another image first.

    Args:
        records: All snapshots.
        served: What the fs server serves.
        reasons: Why layers are not lazy, by chain id.
    """
    by_name = {record.name: record for record in records}
    above: defaultdict[str, list[Record]] = defaultdict(list)
    for record in by_name.values():
        above[record.parent].append(record)
    statuses = []
    for record in by_name.values():
        reference = image_of(record.labels)
        if record.kind is not Kind.COMMITTED or reference is None:
            continue
        children = above[record.name]
        if any(image_of(c.labels) == reference and c.kind is Kind.COMMITTED for c in children):
            continue
        layers = tuple(_layer_status(r, served, reasons) for r in _chain(record, by_name))
        users = tuple(
            sorted(c.name for c in children if c.kind is Kind.ACTIVE and TARGET not in c.labels)
        )
        statuses.append(ImageStatus(reference, layers, users))
    return sorted(statuses, key=lambda status: status.reference)


def _chain(top: Record, by_name: Mapping[str, Record]) -> list[Record]:
    chain = [top]
    while chain[-1].parent in by_name:
        chain.append(by_name[chain[-1].parent])
    return chain[::-1]


def _layer_status(
    record: Record, served: Mapping[Digest, ServedLayer], reasons: Mapping[str, str]
) -> LayerStatus:
    source = parse_source(record.labels)
    digest = source.digest if isinstance(source, LayerSource) else None
    if REMOTE in record.labels:
        layer = served.get(digest) if digest else None
        return LayerStatus(record.name, digest, layer, "", 0)
    reason = reasons.get(record.name)
    if reason is None:
        reason = source.reason if isinstance(source, NotLazy) else _UNPACKED
    return LayerStatus(record.name, digest, None, reason, record.usage.size_bytes)
