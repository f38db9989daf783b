import random
from pathlib import Path

import pytest

from estargz.inspection import ImageReport, LayerReport, TocSummary, inspect_image
from registry.errors import LayoutError
from registry.images import ImageStore
from tests.estargz.blobs import write_blob
from tests.estargz.layouts import Json, Layer, Layout
from tests.strategies import CHUNK_BYTES, Node, build_tar

_TAR = build_tar(
    [
        Node(name="d", kind="dir"),
        Node(name="d/a", content=bytes(CHUNK_BYTES + 1)),
        Node(name="d/b"),
        Node(name="d/c", content=random.Random(1).randbytes(300_000)),
    ]
)
_WRITTEN = write_blob(_TAR)
_TOC = "containerd.io/snapshot/stargz/toc.digest"
_SIZE = "io.containers.estargz.uncompressed-size"
_ANNOTATIONS = {_TOC: str(_WRITTEN.finished.toc_digest), _SIZE: "12345"}


def _image(directory: Path, annotations: Json, blob: bytes = _WRITTEN.data) -> ImageStore:
    layout = Layout(directory)
    layer = Layer(tar=b"", blob=blob, extra={"annotations": annotations})
    return layout.name(layout.add_image([layer]))


def _layer(report: ImageReport) -> LayerReport:
    ((layer,),) = [manifest.layers for manifest in report.manifests]
    return layer


async def test_a_lazy_layer(tmp_path: Path) -> None:
    layer = _layer(await inspect_image(_image(tmp_path, _ANNOTATIONS), check=True))
    assert layer.lazy
    assert layer.digest == _WRITTEN.finished.digest
    assert (layer.blob_bytes, layer.uncompressed_bytes) == (len(_WRITTEN.data), 12345)
    assert layer.toc_digest == str(_WRITTEN.finished.toc_digest)
    assert layer.toc is not None
    assert layer.toc == TocSummary(
        entries=1 + 1 + 2 + 1 + 74,
        files=4,
        chunks=1 + 2 + 74,
        content_bytes=1 + CHUNK_BYTES + 1 + 300_000,
        toc_bytes=layer.toc.toc_bytes,
        prefetch=False,
    )


async def test_a_toc_longer_than_the_first_request(tmp_path: Path) -> None:
    noise = random.Random(1)
    names = [noise.randbytes(20).hex() for _ in range(3000)]
    written = write_blob(build_tar([Node(name=name, content=name.encode()) for name in names]))
    annotations = {_TOC: str(written.finished.toc_digest)}
    report = await inspect_image(_image(tmp_path, annotations, written.data), check=True)
    toc = _layer(report).toc
    assert toc is not None
    assert toc.files == 3001


async def test_without_the_check_annotations_are_believed(tmp_path: Path) -> None:
    layer = _layer(await inspect_image(_image(tmp_path, _ANNOTATIONS, b"rubbish"), check=False))
    assert layer.lazy
    assert layer.toc is None


@pytest.mark.parametrize(
    ("annotations", "blob", "reason"),
    [
        ({}, _WRITTEN.data, "no TOC digest is annotated"),
        ({"io.containers.zstd-chunked.manifest-checksum": "x"}, _WRITTEN.data, "zstd:chunked"),
        ({_TOC: "sha256:nonsense"}, _WRITTEN.data, "annotation is wrong"),
        ({_TOC: "sha256:" + "0" * 64}, _WRITTEN.data, "expected sha256:000"),
        (_ANNOTATIONS, b"rubbish" * 100, "not an eStargz layer"),
        (_ANNOTATIONS, b"x", "not an eStargz layer"),
        (_ANNOTATIONS, b"x" * 200 + _WRITTEN.data[-51:], "bad TOC"),
    ],
    ids=["none", "zstd", "no-digest", "other-digest", "no-footer", "tiny", "no-toc"],
)
async def test_why_a_layer_is_not_lazy(
    tmp_path: Path, annotations: Json, blob: bytes, reason: str
) -> None:
    layer = _layer(await inspect_image(_image(tmp_path, annotations, blob), check=True))
    assert not layer.lazy
    assert reason in layer.not_lazy_because
    assert layer.toc is None


@pytest.mark.parametrize("size", ["", "-1", "1e9", "9" * 5000, "x"])
async def test_a_nonsensical_size_is_no_size(tmp_path: Path, size: str) -> None:
    annotations = {**_ANNOTATIONS, _SIZE: size}
    layer = _layer(await inspect_image(_image(tmp_path, annotations), check=False))
    assert layer.uncompressed_bytes is None


async def test_all_platforms_of_an_index(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    arm = {"os": "linux", "architecture": "arm64"}
    images = [layout.add_image([Layer(tar=_TAR)], platform=arm), layout.add_image([])]
    nested = layout.add_index([])
    report = await inspect_image(layout.name(layout.add_index([*images, nested])), check=True)
    assert [manifest.platform for manifest in report.manifests] == ["linux/arm64", ""]
    assert [len(manifest.layers) for manifest in report.manifests] == [1, 0]


async def test_a_missing_blob_is_the_stores_error(tmp_path: Path) -> None:
    image = _image(tmp_path, _ANNOTATIONS)
    (tmp_path / "blobs" / "sha256" / _WRITTEN.finished.digest.hex).unlink()
    with pytest.raises(LayoutError):
        await inspect_image(image, check=True)
