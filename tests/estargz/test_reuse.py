"""Lazy layers are kept, conversions resume, and nothing is pushed twice: counted in requests."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from estargz.convert import ConversionOptions, ConversionResult, convert_image
from estargz.planning import WriterOptions
from estargz.progress import Event, LayerAdvanced, LayerPushed, Phase
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import RegistryError
from registry.images import ImageName, ImageStore, open_image
from registry.settings import ClientSettings
from tests.estargz.blobs import WrittenBlob, write_blob
from tests.estargz.layouts import Json, Layer, Layout, store
from tests.fakes.registry import FakeRegistry, Fault
from tests.strategies import CHUNK_BYTES, Node, build_tar

_TOC = "containerd.io/snapshot/stargz/toc.digest"
_SIZE = "io.containers.estargz.uncompressed-size"
_LAZY = write_blob(build_tar([Node(name="a", content=b"a" * 3 * CHUNK_BYTES)]))
_PLAIN = build_tar([Node(name="b", content=b"b" * 9000)])
_QUICK = ClientSettings(attempts=1)


def _annotations(written: WrittenBlob, **changed: str) -> Json:
    return {
        _TOC: str(written.finished.toc_digest),
        _SIZE: str(written.finished.uncompressed_bytes),
        "mine": "kept",
        **changed,
    }


def _lazy_layer(annotations: Json, blob: bytes = _LAZY.data) -> Layer:
    return Layer(
        tar=b"",
        blob=blob,
        diff_id=str(_LAZY.finished.diff_id),
        extra={"annotations": annotations},
    )


def _image(directory: Path, *layers: Layer) -> ImageStore:
    layout = Layout(directory)
    return layout.name(layout.add_image(layers))


async def _convert(
    source: ImageStore, target: ImageStore, work: Path, *, reuse: bool = True
) -> tuple[ConversionResult, list[Event]]:
    events: list[Event] = []
    options = ConversionOptions(reuse=reuse, work_directory=work)
    return await convert_image(source, target, options, progress=events.append), events


async def test_a_lazy_layer_is_kept_as_it_is(tmp_path: Path) -> None:
    source = _image(tmp_path / "in", _lazy_layer(_annotations(_LAZY)), Layer(tar=_PLAIN))
    out = store(tmp_path / "out")
    result, events = await _convert(source, out, tmp_path)
    lazy, plain = result.images[0].layers
    assert (lazy.kept, plain.kept) == (True, False)
    assert lazy.digest == _LAZY.finished.digest
    manifest = json.loads((await out.fetch_manifest()).data)
    assert manifest["layers"][0]["annotations"] == _annotations(_LAZY)
    assert await out.read_blob(lazy.digest, max_bytes=len(_LAZY.data)) == _LAZY.data
    assert Phase.COMPRESS not in {
        event.phase
        for event in events
        if isinstance(event, LayerAdvanced) and event.digest == lazy.digest
    }


_NOT_KEPT = {
    "no annotation": _lazy_layer({}),
    "no digest": _lazy_layer(_annotations(_LAZY, **{_TOC: "sha256:1"})),
    "another TOC": _lazy_layer(_annotations(_LAZY, **{_TOC: "sha256:" + "0" * 64})),
    "no size": _lazy_layer(_annotations(_LAZY, **{_SIZE: "large"})),
}


@pytest.mark.parametrize("case", _NOT_KEPT)
async def test_what_is_not_proved_to_be_lazy_is_converted(tmp_path: Path, case: str) -> None:
    source = _image(tmp_path / "in", _NOT_KEPT[case])
    result, _events = await _convert(source, store(tmp_path / "out"), tmp_path)
    assert not result.images[0].layers[0].kept


async def test_keeping_can_be_switched_off(tmp_path: Path) -> None:
    source = _image(tmp_path / "in", _lazy_layer(_annotations(_LAZY)))
    result, _events = await _convert(source, store(tmp_path / "out"), tmp_path, reuse=False)
    (layer,) = result.images[0].layers
    assert not layer.kept
    # With other options, that is: these are the default ones, and the layer has smaller chunks.
    assert layer.digest != _LAZY.finished.digest
    assert WriterOptions().chunk_bytes > CHUNK_BYTES


async def test_a_kept_layer_that_is_another_blob_is_refused(tmp_path: Path) -> None:
    source = _image(tmp_path / "in", _lazy_layer(_annotations(_LAZY)))
    path = tmp_path / "in" / "blobs" / "sha256" / _LAZY.finished.digest.hex
    path.write_bytes(bytes([_LAZY.data[0]]) + b"\1" + _LAZY.data[2:])
    with pytest.raises(Exception, match="digest"):
        await _convert(source, store(tmp_path / "out"), tmp_path)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def _uploads(fake: FakeRegistry) -> int:
    return sum(record.kind == "upload" and record.method == "PUT" for record in fake.requests)


def _downloads(fake: FakeRegistry, digest: Digest) -> list[str]:
    """The ranges of a blob that were asked for; empty for the whole."""
    return [
        record.range
        for record in fake.requests
        if record.kind == "blob" and record.method == "GET" and str(digest) in record.path
    ]


async def test_what_a_registry_has_is_not_pushed_again(tmp_path: Path, fake: FakeRegistry) -> None:
    source = _image(tmp_path / "in", Layer(tar=_PLAIN), Layer(tar=_PLAIN))
    async with RegistryClient(_QUICK) as client:
        target = open_image(ImageName.parse(f"{fake.host}/a:1"), client)
        first, _events = await _convert(source, target, tmp_path)
        assert _uploads(fake) == 2  # the layer, once, and the config
        second, events = await _convert(source, target, tmp_path)
    assert first == second
    assert _uploads(fake) == 2
    assert [event.was_there for event in events if isinstance(event, LayerPushed)] == [True]


async def test_a_lazy_layer_that_stays_in_its_repository_costs_one_range(
    tmp_path: Path, fake: FakeRegistry
) -> None:
    local = _image(tmp_path / "in", Layer(tar=_PLAIN))
    async with RegistryClient(_QUICK) as client:
        once = open_image(ImageName.parse(f"{fake.host}/a:1"), client)
        twice = open_image(ImageName.parse(f"{fake.host}/a:2"), client)
        first, _events = await _convert(local, once, tmp_path)
        second, _events = await _convert(once, twice, tmp_path)
    (layer,) = second.images[0].layers
    assert layer.kept
    assert first.digest == second.digest
    (only,) = _downloads(fake, layer.digest)
    assert only.startswith("bytes=-")


async def test_an_interrupted_conversion_resumes(tmp_path: Path, fake: FakeRegistry) -> None:
    source = _image(tmp_path / "in", Layer(tar=_PLAIN))
    fake.faults.inject(Fault.BUSY, kinds=("manifest",))
    async with RegistryClient(_QUICK) as client:
        target = open_image(ImageName.parse(f"{fake.host}/a:1"), client)
        with pytest.raises(RegistryError):
            await _convert(source, target, tmp_path)
        before = _uploads(fake)
        with pytest.raises(RegistryError):
            await target.fetch_manifest()
        await _convert(source, target, tmp_path)
        assert _uploads(fake) == before == 2
        await target.fetch_manifest()
