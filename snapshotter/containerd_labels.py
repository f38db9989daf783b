"""The labels by which containerd finds its way through an image (containerd's docs/garbage-collection.md). No I/O."""

from collections.abc import Iterator, Mapping
from typing import Final

from registry.manifest import Index, Manifest
from registry.reference import Repository

_CHILD: Final = "containerd.io/gc.ref.content"
_ORIGIN: Final = "containerd.io/distribution.source"


def child_labels(document: Manifest | Index) -> Mapping[str, str]:
    """What keeps the parts of a manifest or an index as long as that is kept itself."""
    return dict(_children(document))


def origin_label(repository: Repository) -> Mapping[str, str]:
    """What says that a blob is in a registry, too: a push to another repository there need not send it."""
    return {f"{_ORIGIN}.{repository.host}": repository.name}


def _children(document: Manifest | Index) -> Iterator[tuple[str, str]]:
    if isinstance(document, Index):
        for number, child in enumerate(document.manifests):
            yield f"{_CHILD}.m.{number}", str(child.digest)
        return
    yield f"{_CHILD}.config", str(document.config.digest)
    for number, layer in enumerate(document.layers):
        yield f"{_CHILD}.l.{number}", str(layer.digest)
