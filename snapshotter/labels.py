"""The labels that say where a layer comes from, and whether it can be served lazily.

Decided by labels alone: a layer without the digest of a TOC costs no request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from estargz.toc import TOC_DIGEST_ANNOTATION
from fs.layer_source import LayerSource
from registry.digest import Digest
from registry.errors import InvalidDigestError, InvalidReferenceError
from registry.reference import Reference
from snapshotter.errors import InvalidLabelError

TARGET = "containerd.io/snapshot.ref"
REMOTE = "containerd.io/snapshot/remote"
REMOTE_VALUE = "remote snapshot"
TOC_DIGEST = TOC_DIGEST_ANNOTATION  # containerd passes the annotation on as a label
PREFETCH = "containerd.io/snapshot/remote/stargz.prefetch"
# containerd's limit for a label's name and value together.
_MAX_LABEL_BYTES = 4096
_MAX_SIZE_DIGITS = 16
# More layers than any image has.
_MAX_NEIGHBOURS = 1024
_KNOWN_LISTS = 512


@dataclass(frozen=True, slots=True)
class NotLazy:
    """Why a layer has to be downloaded and unpacked."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Names:
    """The names under which one client passes the source of a layer."""

    reference: str
    digest: str
    layers: str


# CRI and nerdctl, then ctr-remote; the first set that is there counts.
_SETS = (
    _Names(
        "containerd.io/snapshot/cri.image-ref",
        "containerd.io/snapshot/cri.layer-digest",
        "containerd.io/snapshot/cri.image-layers",
    ),
    _Names(
        "containerd.io/snapshot/remote/stargz.reference",
        "containerd.io/snapshot/remote/stargz.digest",
        "containerd.io/snapshot/remote/stargz.layers",
    ),
)

# What a lazy layer cannot be found again without.
SOURCE_LABELS = frozenset(
    {TARGET, REMOTE, TOC_DIGEST, *(n.reference for n in _SETS), *(n.digest for n in _SETS)}
)


def image_of(labels: Mapping[str, str]) -> str | None:
    """The image that a layer was pulled with, if a client told."""
    return next((labels[names.reference] for names in _SETS if names.reference in labels), None)


def parse_source(labels: Mapping[str, str]) -> LayerSource | NotLazy:
    """Where the layer comes from, or why it cannot be served lazily."""
    if TOC_DIGEST not in labels:
        return NotLazy(f"label {TOC_DIGEST} is missing: the image is not eStargz")
    reasons = []
    for names in _SETS:
        source = _parse_set(labels, names)
        if isinstance(source, LayerSource):
            return source
        if names.reference in labels or names.digest in labels:
            reasons.append(source.reason)
    return NotLazy("; ".join(reasons) or "no label says which image the layer belongs to")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuses what containerd refuses.

    Raises:
        InvalidLabelError: a label is too long.
    """
    for name, value in labels.items():
        total = len(name.encode()) + len(value.encode())
        if total > _MAX_LABEL_BYTES:
            raise InvalidLabelError(
                name, f"name and value are {total} bytes, more than {_MAX_LABEL_BYTES}"
            )


def _parse_set(labels: Mapping[str, str], names: _Names) -> LayerSource | NotLazy:
    missing = [name for name in (names.reference, names.digest) if name not in labels]
    if missing:
        return NotLazy(f"label {missing[0]} is missing")
    try:
        reference = Reference.parse(labels[names.reference])
    except InvalidReferenceError as error:
        return NotLazy(f"label {names.reference}: {error}")
    layer, toc = _parse_digest(labels, names.digest), _parse_digest(labels, TOC_DIGEST)
    if isinstance(layer, NotLazy):
        return layer
    if isinstance(toc, NotLazy):
        return toc
    neighbours = _parse_neighbours(labels.get(names.layers, ""), layer)
    return LayerSource(reference, layer, toc, neighbours, _parse_size(labels.get(PREFETCH, "")))


def _parse_digest(labels: Mapping[str, str], name: str) -> Digest | NotLazy:
    try:
        return Digest.parse(labels[name])
    except InvalidDigestError:
        return NotLazy(f"label {name}: {labels[name]!r} is not a digest")


def _parse_size(text: str) -> int | None:
    """A number of bytes; it is a hint, and one that means nothing is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_SIZE_DIGITS else None


@lru_cache(maxsize=_KNOWN_LISTS)  # asked for all layers below, whenever a container is made
def _parse_neighbours(text: str, layer: Digest) -> tuple[Digest, ...]:
    """The digests in a comma list; it is a hint, and clients cut it off where a label ends."""
    found: dict[Digest, None] = {}
    for word in text.split(",")[:_MAX_NEIGHBOURS]:
        try:
            found[Digest.parse(word.strip())] = None
        except InvalidDigestError:
            continue
    found.pop(layer, None)
    return tuple(found)
