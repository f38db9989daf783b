import json
from pathlib import Path

import pytest

from estargz.errors import NotEstargzError, TocError
from estargz.external_toc import (
    fetch_external_toc,
    push_toc_image,
    read_external_toc,
    toc_reference,
)
from estargz.toc import TocLimits
from estargz.toc_image import make_toc_image
from registry.client import RegistryClient
from registry.digest import Digest
from registry.manifest import OCI_CONFIG, OCI_MANIFEST, dump_manifest
from registry.reference import Reference
from tests.estargz.layouts import Json, Layout, store
from tests.fakes.registry import FakeRegistry

_LAYER = Digest.of(b"layer")
_IMAGE = make_toc_image({Digest.of(b"other"): b"not this", _LAYER: b"the toc"})


def _push(registry: FakeRegistry, tag: str) -> None:
    for blob in _IMAGE.blobs.values():
        registry.add_blob("a/b", blob)
    registry.add_manifest("a/b", tag, dump_manifest(_IMAGE.manifest), OCI_MANIFEST)


async def test_the_toc_comes_from_the_image_named_like_the_layers_one() -> None:
    with FakeRegistry() as registry:
        _push(registry, "v1-esgztoc")
        async with RegistryClient() as client:
            reference = Reference(registry.host, "a/b", "v1")
            assert await fetch_external_toc(client, reference, _LAYER) == b"the toc"
            with pytest.raises(NotEstargzError, match="has none for"):
                await fetch_external_toc(client, reference, Digest.of(b"unknown"))
            with pytest.raises(NotEstargzError, match="v2-esgztoc, which is not there"):
                await fetch_external_toc(client, Reference(registry.host, "a/b", "v2"), _LAYER)
            with pytest.raises(TocError, match="7 compressed bytes"):
                await fetch_external_toc(
                    client, reference, _LAYER, limits=TocLimits(max_toc_bytes=6)
                )


async def test_what_is_pushed_is_found(tmp_path: Path) -> None:
    await push_toc_image(store(tmp_path / "tocs"), _IMAGE, tmp_path)
    assert await read_external_toc(store(tmp_path / "tocs"), _LAYER) == b"the toc"


def test_the_tag_decides_also_where_there_is_a_digest() -> None:
    reference = Reference("h.io", "a", "v1", _LAYER)
    assert toc_reference(reference) == Reference("h.io", "a", "v1-esgztoc")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [(Reference("h.io", "a", None, _LAYER), "by tag"), (Reference("h.io", "a", "x" * 121), "long")],
    ids=["digest", "long"],
)
def test_without_a_tag_there_is_no_other_image(reference: Reference, reason: str) -> None:
    with pytest.raises(NotEstargzError, match=reason):
        toc_reference(reference)


def _add_toc_image(layout: Layout, tocs: dict[Digest, bytes]) -> Json:
    image = make_toc_image(tocs)
    for blob in image.blobs.values():
        layout.add_blob(blob)
    return layout.add_json(OCI_MANIFEST, json.loads(dump_manifest(image.manifest)))


async def test_an_index_of_toc_images_is_searched(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    children = [
        _add_toc_image(layout, {Digest.of(b"x"): b"x"}),
        _add_toc_image(layout, {_LAYER: b"y"}),
    ]
    source = layout.name(layout.add_index([layout.add_index([]), *children]))
    assert await read_external_toc(source, _LAYER) == b"y"
    with pytest.raises(NotEstargzError):
        await read_external_toc(source, Digest.parse(layout.add_json(OCI_CONFIG, {})["digest"]))
