"""What containers/storage is told of lazy layers."""

import base64
import json

import pytest

from estargz.errors import ConversionError
from estargz.toc import TOC_DIGEST_ANNOTATION, UNCOMPRESSED_SIZE_ANNOTATION
from registry.digest import Digest
from registry.manifest import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from registry.reference import Reference
from snapshotter.store.image import (
    NoSuchLayerError,
    StoreLayer,
    lazy_layers,
    may_be_lazy,
    parse_image_name,
    parse_layer_name,
)

REFERENCE = Reference.parse("registry.test/team/app:1")
BLOB, TOC, DIFF = (Digest.of(word) for word in (b"blob", b"toc", b"diff"))
LAYER = StoreLayer(REFERENCE, BLOB, TOC, DIFF, OCI_LAYER_GZIP, 100, 400)


def test_by_the_layers_digest_all_is_told() -> None:
    """The members of ``Layer`` in layers.go of containers/storage 1.43, as podman 4.3 reads them."""
    assert json.loads(LAYER.info(BLOB)) == {
        "compressed-diff-digest": str(BLOB),
        "compressed-size": 100,
        "diff-digest": str(DIFF),
        "diff-size": 400,
        "compression": 2,
    }


def test_by_the_tocs_digest_nothing_is_told_that_was_not_verified() -> None:
    """As stargz-store answers newer versions, which verify the uncompressed digest themselves."""
    assert json.loads(LAYER.info(TOC)) == {
        "toc-digest": str(TOC),
        "diff-size": -1,
        "compression": 2,
        "flags": {"expected-layer-diffid": str(DIFF)},
    }


@pytest.mark.parametrize(("media_type", "number"), [(OCI_LAYER_GZIP, 2), (OCI_LAYER_ZSTD, 4)])
def test_compression(media_type: str, number: int) -> None:
    layer = StoreLayer(REFERENCE, BLOB, TOC, DIFF, media_type, 100, None)
    told = json.loads(layer.info(BLOB))
    assert (told["compression"], told["diff-size"]) == (number, 0)


def manifest(*annotations: dict[str, str]) -> Manifest:
    layers = tuple(
        Descriptor(OCI_LAYER_GZIP, Digest.of(b"%d" % number), 100 + number, told)
        for number, told in enumerate(annotations)
    )
    return Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, Digest.of(b"config"), 10), layers)


def config(count: int) -> bytes:
    diff_ids = [str(Digest.of(b"diff %d" % number)) for number in range(count)]
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()


def test_only_layers_with_a_pinned_toc_are_lazy() -> None:
    told = {TOC_DIGEST_ANNOTATION: str(TOC), UNCOMPRESSED_SIZE_ANNOTATION: "400"}
    odd = {**told, UNCOMPRESSED_SIZE_ANNOTATION: "-1"}
    image = manifest({}, told, {TOC_DIGEST_ANNOTATION: "nonsense"}, odd)
    found = list(lazy_layers(REFERENCE, image, config(4), Digest.of(b"manifest")))
    assert [layer.diff_id for layer in found] == [Digest.of(b"diff 1"), Digest.of(b"diff 3")]
    assert [layer.unpacked_bytes for layer in found] == [400, None]
    assert [layer.blob_bytes for layer in found] == [101, 103]
    assert may_be_lazy(image)
    assert not may_be_lazy(manifest({}, {}))


def test_a_config_of_another_image_is_refused() -> None:
    image = manifest({TOC_DIGEST_ANNOTATION: str(TOC)})
    with pytest.raises(ConversionError, match="lists 2 layers"):
        list(lazy_layers(REFERENCE, image, config(2), Digest.of(b"manifest")))


def test_names_of_images_are_base64() -> None:
    assert parse_image_name(base64.b64encode(str(REFERENCE).encode())) == REFERENCE


@pytest.mark.parametrize(
    "name", [b"lost+found", b"!", b"", b"w6Q=", b"/w==", base64.b64encode(b"UPPER/Case")]
)
def test_other_names_are_no_images(name: bytes) -> None:
    with pytest.raises(NoSuchLayerError):
        parse_image_name(name)


@pytest.mark.parametrize("name", [b"sha256:12", b"diff", b"\xff", b""])
def test_other_names_are_no_layers(name: bytes) -> None:
    assert parse_layer_name(str(BLOB).encode()) == BLOB
    with pytest.raises(NoSuchLayerError):
        parse_layer_name(name)
