from registry.digest import Digest
from registry.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
)
from registry.reference import Repository
from snapshotter.containerd_labels import child_labels, origin_label

CONFIG, LOWER, UPPER = (Digest.of(text) for text in (b"config", b"lower", b"upper"))


def test_a_manifest_keeps_its_config_and_layers() -> None:
    layers = tuple(Descriptor(OCI_LAYER_GZIP, digest, 1) for digest in (LOWER, UPPER))
    assert child_labels(Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, CONFIG, 1), layers)) == {
        "containerd.io/gc.ref.content.config": str(CONFIG),
        "containerd.io/gc.ref.content.l.0": str(LOWER),
        "containerd.io/gc.ref.content.l.1": str(UPPER),
    }


def test_an_index_keeps_its_manifests() -> None:
    children = tuple(Descriptor(OCI_MANIFEST, digest, 1) for digest in (LOWER, UPPER))
    assert child_labels(Index(OCI_INDEX, children)) == {
        "containerd.io/gc.ref.content.m.0": str(LOWER),
        "containerd.io/gc.ref.content.m.1": str(UPPER),
    }


def test_where_a_blob_is_too() -> None:
    labels = origin_label(Repository("registry.test:5000", "a/b"))
    assert labels == {"containerd.io/distribution.source.registry.test:5000": "a/b"}
