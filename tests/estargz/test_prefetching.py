"""What comes first: decided for each layer, and seen in the layers that are written."""

import json
from pathlib import Path

from estargz.access_record import Access
from estargz.convert import ConversionOptions, ConversionResult, convert_image
from estargz.image_files import open_files
from estargz.image_reading import read_image
from estargz.prefetching import LayerPrefetch, PrefetchRequest, plan_prefetch
from registry.digest import Digest
from registry.images import ImageStore
from tests.estargz.layouts import Layer, Layout, store
from tests.strategies import Node, build_tar

_LOWER = build_tar([Node(name=name, content=name.encode()) for name in ("a", "bin/sh", "c")])
_UPPER = build_tar([Node(name="d", content=b"d")])


def _source(tmp_path: Path) -> ImageStore:
    layout = Layout(tmp_path / "in")
    return layout.name(layout.add_image([Layer(tar=_LOWER), Layer(tar=_UPPER)]))


async def _convert(
    source: ImageStore, target: ImageStore, request: PrefetchRequest
) -> ConversionResult:
    options = ConversionOptions(prefetch=request)
    return await convert_image(source, target, options, progress=lambda _event: None)


async def _order(image: ImageStore, layer: int) -> list[str]:
    opened = await open_files(image, platforms=[], layer=layer)
    return [file.entry.name for file in opened.layers[0].files]


def test_a_layer_chooses_what_it_has() -> None:
    wanted = LayerPrefetch(("x", "b", "a"), ("c*",))
    chosen = wanted.choose(["./a", "b", "c1", "c2"])
    assert chosen is not None
    assert chosen.paths == ("b", "a", "c1", "c2")
    assert wanted.choose(["d"]) is None


async def test_a_record_of_this_image_names_the_layer(tmp_path: Path) -> None:
    image = await read_image(_source(tmp_path))
    (manifest,) = image.manifests
    lower, upper = [layer.digest for layer in manifest.layers]
    elsewhere = Digest.of(b"another image")
    accesses = (
        Access("c", manifest.digest, 1),
        Access("c", manifest.digest, 7),
        Access("x", elsewhere, 0),
        Access("y"),
    )
    planned = plan_prefetch(PrefetchRequest(accesses=accesses), image.manifests)
    assert planned == {
        lower: LayerPrefetch(("x", "y"), ()),
        upper: LayerPrefetch(("x", "y", "c"), ()),
    }
    assert plan_prefetch(PrefetchRequest(), image.manifests) == {}


async def test_what_is_wanted_comes_first_where_it_is(tmp_path: Path) -> None:
    source, plain, out = _source(tmp_path), store(tmp_path / "plain"), store(tmp_path / "out")
    request = PrefetchRequest(accesses=(Access("c"),), patterns=("bin/*", "nothing"))
    await _convert(source, plain, PrefetchRequest())
    await _convert(source, out, request)
    assert await _order(out, 0) == ["c", "bin/sh", ".prefetch.landmark", "a"]
    before, after = [
        json.loads((await image.fetch_manifest()).data)["layers"] for image in (plain, out)
    ]
    # A layer that has nothing of it is the same as without.
    assert before[0] != after[0]
    assert before[1] == after[1]


async def test_a_lazy_layer_is_kept_unless_it_has_what_is_wanted(tmp_path: Path) -> None:
    plain, out = store(tmp_path / "plain"), store(tmp_path / "out")
    await _convert(_source(tmp_path), plain, PrefetchRequest())
    result = await _convert(plain, out, PrefetchRequest(patterns=("bin/**",)))
    assert [layer.kept for layer in result.images[0].layers] == [False, True]
    assert await _order(out, 0) == ["bin/sh", ".prefetch.landmark", "a", "c"]
