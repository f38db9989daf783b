from estargz.toc_image import make_toc_image
from registry.digest import Digest
from registry.manifest import OCI_LAYER_GZIP, dump_manifest, parse_manifest

_LAYERS = {Digest.of(bytes([number])): b"toc %d" % number for number in range(5)}


def test_every_toc_has_a_layer_that_names_its_own() -> None:
    image = make_toc_image(_LAYERS)
    assert parse_manifest(dump_manifest(image.manifest)) == image.manifest
    found = {
        layer.annotations["containerd.io/snapshot/stargz/layer.digest"]: image.blobs[layer.digest]
        for layer in image.manifest.layers
    }
    assert found == {str(layer): toc for layer, toc in _LAYERS.items()}
    assert {layer.media_type for layer in image.manifest.layers} == {OCI_LAYER_GZIP}
    assert len(image.blobs[image.manifest.config.digest]) == image.manifest.config.size


def test_the_order_in_which_layers_are_given_does_not_matter() -> None:
    backwards = dict(reversed(_LAYERS.items()))
    assert dump_manifest(make_toc_image(backwards).manifest) == dump_manifest(
        make_toc_image(_LAYERS).manifest
    )


def test_layers_with_the_same_toc_share_a_blob() -> None:
    image = make_toc_image(dict.fromkeys(_LAYERS, b"same"))
    assert len(image.manifest.layers) == 5
    assert len(image.blobs) == 2
