"""What an Additional Layer Store says of an image's lazy layers, in the words of containers/storage. No I/O.

podman, CRI-O and buildah look for a layer under ``<base64 of the image's name>/<digest>`` (``getAdditionalLayerPath`` in
drivers/overlay of containers/storage). The digest is the layer's in older versions (1.43, podman 4.3) and its TOC's in newer ones; both name the same layer here.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

from estargz.image_rewriting import layer_sources
from estargz.toc import TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION
from registry.digest import Digest
from registry.errors import InvalidDigestError, InvalidReferenceError
from registry.manifest import Manifest
from registry.reference import Reference
from snapshotter.errors import CommandError

# ``Compression`` of pkg/archive in containers/storage.
_GZIP, _ZSTD = 2, 4
_MAX_SIZE_DIGITS = 16


class NoSuchLayerError(CommandError):
    """Nothing lazy has this name; whoever asked pulls it as usual."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoreLayer:
    """A lazy layer of an image.

    Attributes:
        reference: The image that was asked for.
        digest: The layer's blob.
        toc_digest: Its TOC, as the manifest pins it.
        diff_id: The unpacked layer, as the image's config says.
        media_type: How the blob is compressed.
        blob_bytes: Its size.
        unpacked_bytes: The size of the unpacked layer; None if the manifest does not tell.
    """

    reference: Reference
    digest: Digest
    toc_digest: Digest
    diff_id: Digest
    media_type: str
    blob_bytes: int
    unpacked_bytes: int | None

    def info(self, name: Digest) -> bytes:
        """The content of ``info``: a ``Layer`` of containers/storage.

        Args:
            name: The digest under which the layer was found. Who asks by the TOC's digest has verified nothing else, and gets
                nothing else to believe.
        """
        compression = _ZSTD if self.media_type.endswith(("+zstd", ".zstd")) else _GZIP
        told: dict[str, object] = {"compression": compression}
        if name == self.digest:
            told["compressed-diff-digest"] = str(self.digest)
            told["compressed-size"] = self.blob_bytes
            told["diff-digest"] = str(self.diff_id)
            told["diff-size"] = self.unpacked_bytes or 0
        else:
            told["toc-digest"] = str(self.toc_digest)
            told["diff-size"] = -1
            told["flags"] = {"expected-layer-diffid": str(self.diff_id)}
        return json.dumps(told).encode() + b"\n"


def parse_image_name(name: bytes) -> Reference:
    """Reads the name of an image's directory.

    Raises:
        NoSuchLayerError: it is none.
    """
    try:
        return Reference.parse(base64.b64decode(name, validate=True).decode())
    except (ValueError, InvalidReferenceError) as error:
        raise NoSuchLayerError(repr(name), "it is not the base64 of an image's name") from error


def parse_layer_name(name: bytes) -> Digest:
    """Reads the name of a layer's directory.

    Raises:
        NoSuchLayerError: it is none.
    """
    try:
        return Digest.parse(name.decode())
    except (ValueError, InvalidDigestError) as error:
        raise NoSuchLayerError(repr(name), "it is not a digest") from error


def may_be_lazy(manifest: Manifest) -> bool:
    """Whether a look at the image's config is worth a request."""
    return any(TOC_DIGEST_ANNOTATION in layer.annotations for layer in manifest.layers)


def lazy_layers(
    reference: Reference, manifest: Manifest, config: bytes, digest: Digest
) -> Iterator[StoreLayer]:
    """The layers of an image that can be served lazily, lowest first.

    Args:
        reference: The image.
        manifest: Its manifest.
        config: Its config.
        digest: The manifest's digest, for messages.

    Raises:
        ConversionError: the config cannot be read, or speaks of other layers.
    """
    sources = layer_sources(manifest, config, digest)
    for layer, source in zip(manifest.layers, sources, strict=True):
        try:
            toc_digest = Digest.parse(layer.annotations.get(TOC_DIGEST_ANNOTATION, ""))
        except InvalidDigestError:
            continue
        size = layer.annotations.get(UNCOMPRESSED_SIZE_ANNOTATION, "")
        fits = size.isascii() and size.isdigit() and len(size) < _MAX_SIZE_DIGITS
        yield StoreLayer(
            reference=reference,
            digest=layer.digest,
            toc_digest=toc_digest,
            diff_id=source.diff_id,
            media_type=layer.media_type,
            blob_bytes=layer.size,
            unpacked_bytes=int(size) if fits else None,
        )
