import gzip
import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
import zstandard

from estargz.codec import Codec
from estargz.convert import ConversionOptions, convert_image
from estargz.errors import ConversionError, DigestMismatchError, ExternalTocError
from estargz.external_toc import read_external_toc
from estargz.opening import extract_toc, found_elsewhere
from estargz.ordering import Missing, PrefetchList
from estargz.planning import BlobLayout, WriterOptions
from estargz.progress import Event, LayerFinished, LayerPushed
from estargz.toc import parse_toc
from registry.digest import Digest
from registry.images import ImageStore, LayoutImage, LayoutName
from registry.layout import OciLayout
from registry.manifest import (
    DOCKER_LAYER_FOREIGN,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Platform,
)
from tests.estargz.blobs import open_blob, read_files, read_toc
from tests.estargz.layouts import DOCKER, OCI, Family, Layer, Layout, store
from tests.strategies import CHUNK_BYTES, Node, build_tar

_NOISE = random.Random(0).randbytes(3 * CHUNK_BYTES + 1)
_LOWER = build_tar([Node(name="bin/sh", content=_NOISE), Node(name="etc", kind="dir")])
_UPPER = build_tar([Node(name="etc/.wh.x"), Node(name="etc/y", content=b"y")])
_AMD = {"os": "linux", "architecture": "amd64"}
_ARM = {"os": "linux", "architecture": "arm64"}


def _options(directory: Path, **fields: Any) -> ConversionOptions:
    return ConversionOptions(
        writer=WriterOptions(chunk_bytes=CHUNK_BYTES), work_directory=directory, **fields
    )


def _ignore(_event: Event) -> None:
    pass


async def _json(image: ImageStore, digest: str | None = None) -> Any:
    raw = await image.fetch_manifest(Digest.parse(digest) if digest else None)
    return json.loads(raw.data)


def _blob(path: Path, digest: str) -> bytes:
    data = (path / "blobs" / digest.replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


@pytest.mark.parametrize("family", [OCI, DOCKER], ids=["oci", "docker"])
async def test_an_image_and_everything_about_it(tmp_path: Path, family: Family) -> None:
    layout = Layout(tmp_path / "in", family)
    history = [{"created_by": "x"}, {"created_by": "y", "empty_layer": True}]
    image = layout.add_image(
        [Layer(tar=_LOWER, extra={"annotations": {"mine": "kept"}}), Layer(tar=_UPPER)],
        config={"history": history, "unknown": 1},
        manifest={"annotations": {"made": "by hand"}},
    )
    out = tmp_path / "out"
    result = await convert_image(
        layout.name(image), store(out), _options(tmp_path), progress=_ignore
    )

    manifest = await _json(store(out))
    assert manifest["mediaType"] == result.media_type == OCI_MANIFEST
    assert manifest["annotations"] == {"made": "by hand"}
    config = json.loads(_blob(out, manifest["config"]["digest"]))
    assert (config["history"], config["unknown"]) == (history, 1)
    for layer, tar, diff_id in zip(
        manifest["layers"], [_LOWER, _UPPER], config["rootfs"]["diff_ids"], strict=True
    ):
        blob = _blob(out, layer["digest"])
        assert len(blob) == layer["size"]
        unpacked = await trio.run_process(["gzip", "-dc"], stdin=blob, capture_stdout=True)
        assert f"sha256:{hashlib.sha256(unpacked.stdout).hexdigest()}" == diff_id
        size = layer["annotations"]["io.containers.estargz.uncompressed-size"]
        assert int(size) == len(unpacked.stdout)
        assert tar.rstrip(b"\0") in unpacked.stdout
        toc_digest = Digest.parse(layer["annotations"]["containerd.io/snapshot/stargz/toc.digest"])
        files = read_files(blob, read_toc(blob, toc_digest))
        assert files.get("bin/sh", _NOISE) == _NOISE
    assert manifest["layers"][0]["annotations"]["mine"] == "kept"


async def test_all_platforms_and_each_layer_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    children = [
        layout.add_image([Layer(tar=_LOWER), Layer(tar=_UPPER), Layer(tar=_LOWER)], platform=_AMD),
        layout.add_image([Layer(tar=_LOWER)], config={"architecture": "arm64"}, platform=_ARM),
    ]
    source = layout.name(layout.add_index(children, annotations={"i": "x"}))
    events: list[Event] = []
    out = tmp_path / "out"
    result = await convert_image(source, store(out), _options(tmp_path), progress=events.append)

    index = await _json(store(out))
    assert (index["mediaType"], index["annotations"]) == (OCI_INDEX, {"i": "x"})
    assert [child["platform"] for child in index["manifests"]] == [_AMD, _ARM]
    amd, arm = [await _json(store(out), child["digest"]) for child in index["manifests"]]
    assert [layer["digest"] for layer in amd["layers"]][::2] == [arm["layers"][0]["digest"]] * 2
    assert [image.platform for image in result.images] == ["linux/amd64", "linux/arm64"]
    assert sum(isinstance(event, LayerFinished) for event in events) == 2
    assert OciLayout.open(out).index().manifests[0].digest == result.digest


async def test_foreign_layers_and_artifacts_survive(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in", DOCKER)
    urls = ["https://a.test/layer"]
    foreign = Layer(tar=_LOWER, media_type=DOCKER_LAYER_FOREIGN, extra={"urls": urls})
    image = layout.add_image([foreign, Layer(tar=_UPPER)], platform=_AMD)
    chart = layout.add_json("application/vnd.cncf.helm.config.v1+json", {"name": "chart"})
    blob = layout.add_blob(b"content")
    content = {"mediaType": "a/b", "digest": blob, "size": 7}
    artifact = {"config": chart, "layers": [content], "mediaType": OCI_MANIFEST}
    helm = {**layout.add_image([], manifest=artifact), "mediaType": OCI_MANIFEST}
    source = layout.name(layout.add_index([image, helm]))
    # Nobody has foreign layers but the places that they name.
    (tmp_path / "in" / "blobs" / str(Digest.of(foreign.stored)).replace(":", "/")).unlink()
    target = store(tmp_path / "out")
    result = await convert_image(source, target, _options(tmp_path), progress=_ignore)
    assert [len(image.layers) for image in result.images] == [1]
    new, kept = (await _json(target))["manifests"]
    assert kept == helm
    assert await _json(target, kept["digest"]) == await _json(source, kept["digest"])
    assert _blob(tmp_path / "out", blob) == b"content"
    assert json.loads(_blob(tmp_path / "out", chart["digest"])) == {"name": "chart"}
    manifest = await _json(target, new["digest"])
    lower, upper = manifest["layers"]
    assert (lower["digest"], lower["urls"]) == (str(Digest.of(foreign.stored)), urls)
    assert "nondistributable" in lower["mediaType"]
    assert upper["annotations"]
    diff_ids = json.loads(_blob(tmp_path / "out", manifest["config"]["digest"]))["rootfs"]
    assert diff_ids["diff_ids"][0] == str(Digest.of(_LOWER))
    assert list((tmp_path / "out" / "blobs" / "sha256").glob(Digest.of(foreign.stored).hex)) == []


async def test_only_some_platforms(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    children = [
        layout.add_image([Layer(tar=_LOWER)], platform=_AMD),
        layout.add_image([Layer(tar=_UPPER)], config={"architecture": "arm64"}, platform=_ARM),
    ]
    source = layout.name(layout.add_index(children))
    out = tmp_path / "out"
    options = _options(tmp_path, platforms=(Platform("linux", "arm64", "v8"),))
    result = await convert_image(source, store(out), options, progress=_ignore)
    index = await _json(store(out))
    assert [child["platform"] for child in index["manifests"]] == [_ARM]
    assert [image.platform for image in result.images] == ["linux/arm64"]


@pytest.mark.parametrize(
    ("blob", "media_type"),
    [
        (_LOWER, OCI_LAYER),
        (zstandard.ZstdCompressor().compress(_LOWER), OCI_LAYER_ZSTD),
        (gzip.compress(_LOWER[:1000]) + gzip.compress(_LOWER[1000:]), None),
    ],
    ids=["plain", "zstd", "gzip-members"],
)
async def test_the_result_does_not_depend_on_the_compression(
    tmp_path: Path, blob: bytes, media_type: str | None
) -> None:
    digests = []
    for name, layer in {
        "gzip": Layer(tar=_LOWER),
        "other": Layer(tar=_LOWER, blob=blob, media_type=media_type),
    }.items():
        layout = Layout(tmp_path / name)
        source = layout.name(layout.add_image([layer]))
        target = store(tmp_path / f"{name}-out")
        result = await convert_image(source, target, _options(tmp_path), progress=_ignore)
        digests.append(result.digest)
    assert digests[0] == digests[1]


async def test_the_result_does_not_depend_on_threads(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER), Layer(tar=_UPPER)]))
    results = [
        await convert_image(
            source,
            store(tmp_path / f"out{threads}"),
            _options(tmp_path, threads=threads, layers_at_once=threads),
            progress=_ignore,
        )
        for threads in (1, 4)
    ]
    assert results[0] == results[1]


async def test_an_estargz_image_is_rebuilt_into_itself(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER)]))
    once, twice = store(tmp_path / "once"), store(tmp_path / "twice")
    first = await convert_image(source, once, _options(tmp_path), progress=_ignore)
    second = await convert_image(once, twice, _options(tmp_path), progress=_ignore)
    assert second.digest == first.digest


_BAD_LAYERS = {
    "corrupt": (Layer(tar=_LOWER, blob=gzip.compress(_LOWER)[:-5]), ConversionError, "cut short"),
    "other-content": (
        Layer(tar=_LOWER, diff_id=str(Digest.of(b"x"))),
        DigestMismatchError,
        "uncompressed",
    ),
    "no-tar": (Layer(tar=b"x" * 5000), ConversionError, "layer sha256:"),
    "unrepresentable": (
        Layer(tar=build_tar([Node(name="caf\udce9")])),
        ConversionError,
        "not UTF-8",
    ),
    "too-large": (
        Layer(tar=build_tar([Node(name="a", content=bytes(1 << 20))])),
        ConversionError,
        "more than",
    ),
}


@pytest.mark.parametrize("case", _BAD_LAYERS)
async def test_a_failure_leaves_no_image_and_no_temporary_file(tmp_path: Path, case: str) -> None:
    bad, error, text = _BAD_LAYERS[case]
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_UPPER), bad]))
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    options = _options(work, max_layer_bytes=500_000)
    with pytest.raises(error, match=text):
        await convert_image(source, store(out), options, progress=_ignore)
    assert list(work.iterdir()) == []
    if out.exists():
        assert OciLayout.open(out).index().manifests == ()


async def test_cancelling_leaves_no_temporary_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    tar = build_tar([Node(name="a", content=bytes(5 << 20))])
    source = layout.name(layout.add_image([Layer(tar=tar)]))
    with trio.CancelScope() as scope:
        await convert_image(
            source,
            store(tmp_path / "out"),
            _options(tmp_path / "in"),
            progress=lambda _event: scope.cancel(),
        )
    assert scope.cancelled_caught
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [
        "blobs",
        "index.json",
        "oci-layout",
    ]
    assert not (tmp_path / "out").exists()


async def test_what_the_target_has_is_not_pushed_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER)]))
    out = tmp_path / "out"
    events: list[Event] = []
    for tag in ("first", "second"):
        target = LayoutImage(LayoutName(out, tag))
        await convert_image(source, target, _options(tmp_path), progress=events.append)
    assert [event.was_there for event in events if isinstance(event, LayerPushed)] == [False, True]
    assert len(OciLayout.open(out).index().manifests) == 2


async def test_the_systems_place_for_temporary_files_is_used_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER)]))
    with pytest.raises(FileNotFoundError):
        await convert_image(source, store(tmp_path / "out"), ConversionOptions(), progress=_ignore)


@pytest.mark.parametrize("field", ["threads", "layers_at_once", "max_layer_bytes"])
def test_options_must_be_positive(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        _options(tmp_path, **{field: 0})


@pytest.mark.parametrize(
    "writer",
    [
        WriterOptions(codec=Codec.ZSTD),
        WriterOptions(codec=Codec.ZSTD, layout=BlobLayout.LOSSLESS),
        WriterOptions(layout=BlobLayout.LOSSLESS, min_chunk_bytes=5000),
        WriterOptions(layout=BlobLayout.EXTERNAL_TOC),
        WriterOptions(prefetch=PrefetchList(paths=("etc/y", "no"), missing=Missing.COLLECT)),
    ],
    ids=["zstd", "zstd-lossless", "lossless", "external-toc", "prefetch"],
)
async def test_images_of_all_kinds_of_layers(tmp_path: Path, writer: WriterOptions) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER), Layer(tar=_UPPER)]))
    out, tocs = store(tmp_path / "out"), store(tmp_path / "tocs")
    options = ConversionOptions(writer=writer, work_directory=tmp_path)
    result = await convert_image(source, out, options, progress=_ignore, toc_target=tocs)
    for layer, tar in zip(result.images[0].layers, [_LOWER, _UPPER], strict=True):
        blob = _blob(tmp_path / "out", str(layer.digest))
        try:
            found, _ = open_blob(blob)
        except ExternalTocError as error:
            compressed = await read_external_toc(tocs, layer.digest)
            found = found_elsewhere(compressed, blob_bytes=error.blob_bytes)
        toc = parse_toc(extract_toc(found, expected=layer.toc_digest))
        read_files(blob, toc, codec=found.codec)
        if writer.layout is BlobLayout.LOSSLESS:
            assert layer.diff_id == Digest.of(tar)
        if writer.prefetch:
            assert "no" in layer.missing
    for descriptor in (await _json(out))["layers"]:
        kind = OCI_LAYER_ZSTD if writer.codec is Codec.ZSTD else OCI_LAYER_GZIP
        assert descriptor["mediaType"] == kind
    assert (tmp_path / "tocs").exists() == writer.makes_external_toc


async def test_tocs_without_a_place_to_go_to_are_refused_at_once(tmp_path: Path) -> None:
    options = ConversionOptions(writer=WriterOptions(layout=BlobLayout.EXTERNAL_TOC))
    with pytest.raises(ConversionError, match="no place"):
        await convert_image(store(tmp_path), store(tmp_path), options, progress=_ignore)
