"""Images from snapshots: what is lazy, why the rest is not, and who uses it."""

from registry.digest import Digest
from snapshotter.commands.image_status import image_statuses
from snapshotter.labels import REMOTE, TARGET
from snapshotter.layer_server import ServedLayer
from snapshotter.mounts import Kind
from snapshotter.records import Record, Usage
from tests.snapshotter.lazy_images import lazy_labels

BASE, TOP = Digest.of(b"base"), Digest.of(b"top")


def record(name: str, parent: str = "", kind: Kind = Kind.COMMITTED, **labels: str) -> Record:
    return Record(0, name, parent, kind, labels, 0, 0, Usage(7, 1))


def lazy(name: str, parent: str, layer: Digest, image: str) -> Record:
    labels = lazy_labels(layer, name) | {REMOTE: "x", "containerd.io/snapshot/cri.image-ref": image}
    return record(name, parent, Kind.COMMITTED, **labels)


def test_an_image_shows_all_its_layers_and_its_containers() -> None:
    records = [
        lazy("c1", "", BASE, "r.test/first:1"),
        lazy("c2", "c1", TOP, "r.test/first:1"),
        record("container", "c2", Kind.ACTIVE),
        record("extract", "c2", Kind.ACTIVE, **{TARGET: "c3"}),
    ]
    served = {BASE: ServedLayer(BASE, 1, 2, blob_bytes=30, fetched_bytes=10, requests=1)}
    (image,) = image_statuses(records, served, {})
    assert (image.reference, image.is_lazy, image.users) == ("r.test/first:1", True, ("container",))
    assert [(layer.chain, layer.digest) for layer in image.layers] == [("c1", BASE), ("c2", TOP)]
    assert [layer.served for layer in image.layers] == [served[BASE], None]
    assert (image.fetched_bytes, image.blob_bytes) == (10, 30)


def test_images_that_share_layers_are_told_apart() -> None:
    records = [
        lazy("c1", "", BASE, "r.test/first:1"),
        lazy("c2", "c1", TOP, "r.test/second:1"),
    ]
    first, second = image_statuses(records, {}, {})
    assert (first.reference, [layer.chain for layer in first.layers]) == ("r.test/first:1", ["c1"])
    assert (second.reference, [layer.chain for layer in second.layers]) == (
        "r.test/second:1",
        ["c1", "c2"],
    )


def test_why_a_layer_is_not_lazy() -> None:
    source = lazy_labels(BASE, "c2")
    plain = {"containerd.io/snapshot/cri.image-ref": "r.test/image:1"}
    records = [
        record("c1", "", Kind.COMMITTED, **plain),
        record("c2", "c1", Kind.COMMITTED, **(source | plain)),
        record("c3", "c2", Kind.COMMITTED, **(source | plain)),
        record("other", ""),
    ]
    (image,) = image_statuses(records, {}, {"c2": "the registry was away"})
    reasons = [layer.not_lazy for layer in image.layers]
    assert not image.is_lazy
    assert "the image is not eStargz" in reasons[0]
    assert reasons[1] == "the registry was away"
    assert "could not be served" in reasons[2]
    assert [layer.unpacked_bytes for layer in image.layers] == [7, 7, 7]
