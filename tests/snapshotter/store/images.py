"""Images of layers made by hand, in the fake registry, as an Additional Layer Store asks for them."""

import json
from dataclasses import dataclass
from typing import Any

from estargz.toc import TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION
from registry.digest import Digest
from registry.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from registry.reference import Reference
from snapshotter.store.image import StoreLayer
from tests.fakes.registry import FakeRegistry
from tests.fs.layers_by_hand import HandmadeBlob

REPOSITORY = "team/app"


@dataclass(frozen=True, slots=True)
class PushedImage:
    """An image in a registry: its name, and its layers, lowest first."""

    reference: Reference
    layers: list[StoreLayer]


def lazy_blob(content: bytes) -> tuple[bytes, Digest]:
    """A layer with one file, and its TOC's digest."""
    blob = HandmadeBlob()
    blob.add_file("file", content)
    toc_digest = blob.finish()
    return bytes(blob.data), toc_digest


def push_image(
    fake: FakeRegistry, contents: list[bytes], *, plain: int = 0, tag: str = "1"
) -> PushedImage:
    """Pushes an image with a lazy layer of each content, below so many layers that are not lazy."""
    reference = Reference.parse(f"{fake.host}/{REPOSITORY}:{tag}")
    layers, descriptors = [], []
    for content in contents:
        data, toc_digest = lazy_blob(content)
        digest = fake.add_blob(REPOSITORY, data)
        told = {TOC_DIGEST_ANNOTATION: str(toc_digest), UNCOMPRESSED_SIZE_ANNOTATION: "10240"}
        descriptors.append(_descriptor(OCI_LAYER_GZIP, digest, data) | {"annotations": told})
        diff_id = Digest.of(b"unpacked " + content)
        layers.append(
            StoreLayer(reference, digest, toc_digest, diff_id, OCI_LAYER_GZIP, len(data), 10240)
        )
    diff_ids = [str(layer.diff_id) for layer in layers]
    for number in range(plain):
        data = b"plain %d" % number
        digest = fake.add_blob(REPOSITORY, data)
        descriptors.append(_descriptor(OCI_LAYER_GZIP, digest, data))
        diff_ids.append(str(Digest.of(b"unpacked " + data)))
    _push_manifest(fake, tag, descriptors, diff_ids)
    return PushedImage(reference, layers)


def _push_manifest(
    fake: FakeRegistry, tag: str, descriptors: list[dict[str, Any]], diff_ids: list[str]
) -> None:
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, fake.add_blob(REPOSITORY, config), config),
        "layers": descriptors,
    }
    fake.add_manifest(REPOSITORY, tag, json.dumps(manifest).encode(), OCI_MANIFEST)


def _descriptor(media_type: str, digest: Digest, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": len(data)}
