from pathlib import Path

import pytest

from estargz.convert import ConversionOptions, convert_image
from estargz.errors import DigestMismatchError, NotEstargzError
from estargz.planning import BlobLayout, WriterOptions
from estargz.toc_reading import read_toc
from registry.digest import Digest
from registry.images import LayoutImage, LayoutName
from tests.estargz.blobs import write_blob
from tests.estargz.layouts import Layer, Layout, store
from tests.strategies import Node, build_tar

_TAR = build_tar([Node(name="a", content=b"a")])
_WRITTEN = write_blob(_TAR)


async def test_a_toc_out_of_a_store(tmp_path: Path) -> None:
    digest = Digest.parse(Layout(tmp_path).add_blob(_WRITTEN.data))
    opened = await read_toc(store(tmp_path), digest, expected=_WRITTEN.finished.toc_digest)
    assert [entry.name for entry in opened.toc.entries] == [".no.prefetch.landmark", "a"]
    assert 0 < opened.payload_bytes < len(_WRITTEN.data)
    with pytest.raises(DigestMismatchError):
        await read_toc(store(tmp_path), digest, expected=digest)


async def test_a_toc_in_an_image_of_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_TAR)]))
    target = LayoutImage(LayoutName(tmp_path / "out", "1"))
    result = await convert_image(
        source,
        target,
        ConversionOptions(writer=WriterOptions(layout=BlobLayout.EXTERNAL_TOC)),
        progress=lambda _event: None,
        toc_target=target.sibling("-esgztoc"),
    )
    (layer,) = result.images[0].layers
    opened = await read_toc(target, layer.digest, expected=layer.toc_digest)
    assert [entry.name for entry in opened.toc.entries] == [".no.prefetch.landmark", "a"]
    lonely = LayoutImage(LayoutName(tmp_path / "out", "2"))
    with pytest.raises(NotEstargzError, match="not there"):
        await read_toc(lonely, layer.digest, expected=layer.toc_digest)


async def test_an_ordinary_layer(tmp_path: Path) -> None:
    digest = Digest.parse(Layout(tmp_path).add_blob(b"x" * 1000))
    with pytest.raises(NotEstargzError):
        await read_toc(store(tmp_path), digest, expected=digest)
