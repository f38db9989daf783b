"""An image in a real containerd, asked as every other store is."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from estargz.convert import ConversionOptions, convert_image
from estargz.inspection import inspect_image
from estargz.planning import BlobLayout, WriterOptions
from registry.digest import Digest
from registry.errors import InvalidReferenceError
from registry.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    dump_manifest,
)
from snapshotter.containerd_client import ContainerdAddress, ContainerdClient
from snapshotter.containerd_errors import ContainerdError, ContainerdNotFoundError
from snapshotter.containerd_image import ContainerdImage, ContainerdName
from tests.e2e.ctr import Ctr
from tests.estargz.layouts import Layer, Layout, store
from tests.strategies import Node, build_tar

pytestmark = pytest.mark.containerd

DATA = bytes(range(256)) * 8192
BLOB = Digest.of(DATA)
RAW = dump_manifest(
    Manifest(
        OCI_MANIFEST,
        Descriptor(OCI_CONFIG, BLOB, len(DATA)),
        (Descriptor(OCI_LAYER_GZIP, BLOB, len(DATA)),),
    )
)


@pytest.fixture
async def image(containerd_address: ContainerdAddress) -> AsyncGenerator[ContainerdImage, None]:
    async with ContainerdClient(containerd_address) as client:
        yield ContainerdImage(ContainerdName.parse("registry.test/a:1"), client)


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


def test_names() -> None:
    assert str(ContainerdName.parse("python:3")) == "containerd:docker.io/library/python:3"
    with pytest.raises(InvalidReferenceError):
        ContainerdName.parse("A b")


async def test_an_image_comes_back(image: ContainerdImage, blob: Path) -> None:
    sent: list[int] = []
    assert not await image.has_blob(BLOB)
    await image.push_blob(BLOB, blob, on_progress=sent.append)
    assert sum(sent) == len(DATA)
    assert await image.has_blob(BLOB)
    await image.push_manifest(RAW, OCI_MANIFEST, tagged=True)
    for digest in (None, Digest.of(RAW)):
        raw = await image.fetch_manifest(digest)
        assert (raw.data, raw.media_type, raw.digest) == (RAW, OCI_MANIFEST, Digest.of(RAW))
    assert (await image.read_blob_range(BLOB, start=3, length=5)).data == DATA[3:8]
    tail = await image.read_blob_tail(BLOB, length=7)
    assert (tail.start, tail.data, tail.blob_bytes) == (len(DATA) - 7, DATA[-7:], len(DATA))
    assert (await image.read_blob_tail(BLOB, length=len(DATA) + 1)).data == DATA
    async with image.stream_blob(BLOB) as pieces:
        assert b"".join([piece async for piece in pieces]) == DATA


async def test_its_parts_live_as_long_as_it_does(
    containerd_address: ContainerdAddress, ctr: Ctr, blob: Path
) -> None:
    async with ContainerdClient(containerd_address) as client:
        image = ContainerdImage(ContainerdName.parse("registry.test/a:1"), client)
        await image.push_blob(BLOB, blob)
        await image.push_manifest(RAW, OCI_MANIFEST, tagged=False)
        index = Index(OCI_INDEX, (Descriptor(OCI_MANIFEST, Digest.of(RAW), len(RAW)),))
        raw = dump_manifest(index)
        await image.push_manifest(raw, OCI_INDEX, tagged=True)
    parts = {str(BLOB), str(Digest.of(RAW)), str(Digest.of(raw))}
    ctr("leases", "create", "--id", "once")
    ctr("leases", "delete", "--sync", "once")
    assert ctr.content_digests() == parts
    async with ContainerdClient(containerd_address) as client:
        image = ContainerdImage(ContainerdName.parse("registry.test/a:1"), client)
        await image.fetch_manifest()
        # What is being read stays, whoever takes the image away.
        ctr("images", "rm", "--sync", "registry.test/a:1")
        assert ctr.content_digests() == parts
    ctr("leases", "create", "--id", "once")
    ctr("leases", "delete", "--sync", "once")
    assert ctr.content_digests() == set()


async def test_what_is_not_there(image: ContainerdImage, blob: Path) -> None:
    with pytest.raises(ContainerdNotFoundError, match="cannot find image"):
        await image.fetch_manifest()
    with pytest.raises(ContainerdNotFoundError, match=str(BLOB)):
        await image.read_blob(BLOB, max_bytes=1)
    await image.push_blob(BLOB, blob)
    with pytest.raises(ContainerdError, match="more than 1 bytes"):
        await image.read_blob(BLOB, max_bytes=1)
    with pytest.raises(ContainerdError, match="ends before"):
        await image.read_blob_range(BLOB, start=len(DATA), length=1)


def test_siblings(containerd_address: ContainerdAddress) -> None:
    client = ContainerdClient(containerd_address)
    image = ContainerdImage(ContainerdName.parse("registry.test/a:1"), client)
    assert image.sibling("-x").describe() == "containerd:registry.test/a:1-x"
    by_digest = ContainerdImage(ContainerdName.parse(f"registry.test/a@{BLOB}"), client)
    with pytest.raises(InvalidReferenceError, match="by its tag"):
        by_digest.sibling("-x")


async def test_a_table_of_contents_in_an_image_that_is_not_there(
    containerd_address: ContainerdAddress, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "layout")
    tar = build_tar([Node(name="a", content=b"a" * 5000)])
    source = layout.name(layout.add_image([Layer(tar=tar)]))
    async with ContainerdClient(containerd_address) as client:
        image = ContainerdImage(ContainerdName.parse("registry.test/apart:1"), client)
        options = ConversionOptions(writer=WriterOptions(layout=BlobLayout.EXTERNAL_TOC))
        for toc_target in (store(tmp_path / "elsewhere"), image.sibling("-esgztoc")):
            await convert_image(
                source, image, options, progress=lambda _event: None, toc_target=toc_target
            )
            (manifest,) = (await inspect_image(image, check=True)).manifests
            (layer,) = manifest.layers
            assert layer.lazy == isinstance(toc_target, ContainerdImage), layer.not_lazy_because
