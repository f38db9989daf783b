"""Making the image that keeps the TOCs of lazy layers whose blobs have none. No I/O; ``external_toc`` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from estargz.toc import LAYER_DIGEST_ANNOTATION
from registry.digest import Digest
from registry.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest

# Nobody runs the image, so its config says nothing: what stargz-snapshotter writes, too.
_CONFIG: Final = b'{"architecture":"","os":"","rootfs":{"type":"","diff_ids":null}}'


@dataclass(frozen=True, slots=True)
class TocImage:
    """A manifest, and the blobs to be stored before it: the config and the TOCs."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes]


def make_toc_image(tocs: Mapping[Digest, bytes]) -> TocImage:
    """Puts the TOCs of an image, of all its platforms, into one image; the same TOCs always make the same one.

    Args:
        tocs: the compressed TOC for the digest of each layer.
    """
    blobs = {Digest.of(_CONFIG): _CONFIG}
    layers = []
    for layer, toc in tocs.items():
        digest = Digest.of(toc)
        blobs[digest] = toc
        annotations = {LAYER_DIGEST_ANNOTATION: str(layer)}
        layers.append(Descriptor(OCI_LAYER_GZIP, digest, len(toc), annotations=annotations))
    layers.sort(key=lambda layer: (str(layer.digest), layer.annotations[LAYER_DIGEST_ANNOTATION]))
    config = Descriptor(OCI_CONFIG, Digest.of(_CONFIG), len(_CONFIG))
    return TocImage(Manifest(OCI_MANIFEST, config, tuple(layers)), blobs)
