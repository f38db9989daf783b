from pathlib import Path

import pytest

from estargz.codec import Codec
from estargz.convert import ConversionOptions, convert_image
from estargz.planning import BlobLayout, WriterOptions
from estargz.toc import Toc
from estargz.verification import ImageVerdict, LayerVerdict, verify_image
from registry.digest import Digest
from registry.images import ImageStore, LayoutImage, LayoutName
from tests.estargz.layouts import Layer, Layout
from tests.estargz.lying_images import lazy_image
from tests.strategies import CHUNK_BYTES, Node, build_tar

_TAR = build_tar(
    [
        Node(name="a", content=b"a" * (2 * CHUNK_BYTES + 1)),
        Node(name="b", content=b"b" * 100),
        Node(name="same", kind="hardlink", link_name="a"),
    ]
)


async def _verify(source: ImageStore) -> tuple[ImageVerdict, list[LayerVerdict]]:
    told: list[LayerVerdict] = []
    return await verify_image(source, on_verdict=told.append), told


async def _what_differs(source: ImageStore) -> list[tuple[str, str]]:
    verdict, _told = await _verify(source)
    (layer,) = verdict.layers
    return [(difference.entry, difference.what) for difference in layer.differences]


@pytest.mark.parametrize(
    "options",
    [
        WriterOptions(chunk_bytes=CHUNK_BYTES),
        WriterOptions(chunk_bytes=CHUNK_BYTES, min_chunk_bytes=50_000),
        WriterOptions(chunk_bytes=CHUNK_BYTES, codec=Codec.ZSTD),
        WriterOptions(chunk_bytes=CHUNK_BYTES, layout=BlobLayout.EXTERNAL_TOC),
        WriterOptions(chunk_bytes=CHUNK_BYTES, layout=BlobLayout.LOSSLESS),
    ],
    ids=["estargz", "min-chunk", "zstd", "external", "lossless"],
)
async def test_what_we_write_is_good(tmp_path: Path, options: WriterOptions) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_TAR), Layer(tar=_TAR)]))
    target = LayoutImage(LayoutName(tmp_path / "out", "1"))
    result = await convert_image(
        source,
        target,
        ConversionOptions(writer=options),
        progress=lambda _event: None,
        toc_target=target.sibling("-esgztoc"),
    )
    verdict, told = await _verify(target)
    assert verdict.good, verdict
    assert verdict.digest == result.digest
    assert list(verdict.layers) == told
    (layer,) = verdict.layers
    assert layer.lazy
    assert layer.chunks >= 4


async def test_an_ordinary_layer_is_good_and_not_lazy(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    verdict, _told = await _verify(layout.name(layout.add_image([Layer(tar=_TAR)])))
    (layer,) = verdict.layers
    assert (verdict.good, layer.lazy, layer.chunks) == (True, False, 0)


def _rename(toc: Toc) -> None:
    toc.entries[-2].name = "other"


def _swap(toc: Toc) -> None:
    b = next(entry for entry in toc.entries if entry.name == "b")
    b.offset = next(entry for entry in toc.entries if entry.name == "a").offset


async def test_a_toc_that_lies_is_found_out(tmp_path: Path) -> None:
    found = dict(await _what_differs(lazy_image(tmp_path / "name", _TAR, change_toc=_rename)))
    assert found.keys() == {"b", "other"}
    ((entry, what),) = await _what_differs(lazy_image(tmp_path / "place", _TAR, change_toc=_swap))
    assert entry == "b"
    assert "has another digest" in what


async def test_other_content_is_found_out(tmp_path: Path) -> None:
    wrong = str(Digest.of(b"another tar"))
    ((entry, what),) = await _what_differs(lazy_image(tmp_path, _TAR, diff_id=wrong))
    assert entry == ""
    assert wrong in what


async def test_a_damaged_blob_is_found_out(tmp_path: Path) -> None:
    source = lazy_image(tmp_path, _TAR)
    (blob,) = [
        path
        for path in (tmp_path / "blobs" / "sha256").iterdir()
        if path.read_bytes()[:2] == b"\x1f\x8b"
    ]
    data = bytearray(blob.read_bytes())
    data[200] ^= 1
    blob.write_bytes(data)
    ((_entry, what),) = await _what_differs(source)
    assert "digest" in what


async def test_a_toc_that_cannot_be_believed_is_a_difference(tmp_path: Path) -> None:
    def break_chunks(toc: Toc) -> None:
        toc.entries = [entry for entry in toc.entries[:-1] if entry.type != "chunk"]

    ((_entry, what),) = await _what_differs(lazy_image(tmp_path, _TAR, change_toc=break_chunks))
    assert "bad TOC" in what
