import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from estargz.convert import ConversionOptions, convert_image
from estargz.errors import EstargzError, NotEstargzError, PlatformError
from estargz.image_files import ImageFiles, open_files
from estargz.planning import WriterOptions
from registry.client import RegistryClient
from registry.images import ImageName, ImageStore, open_image
from registry.manifest import Platform
from registry.settings import ClientSettings
from tests.estargz.layouts import Layer, Layout, store
from tests.fakes.registry import FakeRegistry, Fault
from tests.strategies import CHUNK_BYTES, Node, build_tar

_LARGE = random.Random(7).randbytes(40 * CHUNK_BYTES + 5)
_LOWER = build_tar(
    [
        Node(name="first", content=b"1" * 9000),
        Node(name="large", content=_LARGE),
        Node(name="same", kind="hardlink", link_name="large"),
        Node(name="gone", content=b"x"),
        Node(name="empty"),
        Node(name="unwanted", content=random.Random(8).randbytes(300_000)),
    ]
)
_UPPER = build_tar([Node(name=".wh.gone"), Node(name="first", content=b"2")])


async def _converted(tmp_path: Path, target: ImageStore) -> ImageStore:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER), Layer(tar=_UPPER)]))
    options = ConversionOptions(writer=WriterOptions(chunk_bytes=CHUNK_BYTES))
    await convert_image(source, target, options, progress=lambda _event: None)
    return target


async def _content(files: ImageFiles, path: str) -> bytes:
    async with files.reading(files.tree.find(path)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_files_of_all_layers(tmp_path: Path) -> None:
    image = await _converted(tmp_path, store(tmp_path / "out"))
    files = await open_files(image, platforms=[])
    assert sorted(files.tree.root.children) == ["empty", "first", "large", "same", "unwanted"]
    for path, content in {"large": _LARGE, "same": _LARGE, "first": b"2", "empty": b""}.items():
        assert await _content(files, path) == content


async def test_files_of_one_layer(tmp_path: Path) -> None:
    image = await _converted(tmp_path, store(tmp_path / "out"))
    files = await open_files(image, platforms=[], layer=0)
    assert await _content(files, "first") == b"1" * 9000
    assert "gone" in files.tree.root.children
    with pytest.raises(NotEstargzError, match="no layer 2"):
        await open_files(image, platforms=[], layer=2)


async def test_one_platform_of_an_index(tmp_path: Path) -> None:
    image = await _converted(tmp_path, store(tmp_path / "out"))
    layout = Layout(tmp_path / "out")
    manifest = await image.fetch_manifest()
    child = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": 1}
    platform = {"os": "linux", "architecture": "s390x"}
    index = layout.name(layout.add_index([{**child, "platform": platform}]))
    await open_files(index, platforms=[Platform("linux", "s390x")])
    with pytest.raises(PlatformError):
        await open_files(index, platforms=[Platform("linux", "amd64")])


async def test_an_ordinary_layer_is_not_read(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "in")
    source = layout.name(layout.add_image([Layer(tar=_LOWER)]))
    with pytest.raises(NotEstargzError, match="convert the image"):
        await open_files(source, platforms=[])


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


async def test_only_what_is_needed_is_fetched_and_it_is_verified(
    tmp_path: Path, fake: FakeRegistry
) -> None:
    async with RegistryClient(ClientSettings()) as client:
        image = await _converted(tmp_path, open_image(ImageName.parse(f"{fake.host}/a:1"), client))
        manifest = json.loads((await image.fetch_manifest()).data)
        files = await open_files(image, platforms=[])
        before = len(fake.requests)
        assert await _content(files, "large") == _LARGE
        # Neighbouring chunks come in one request, and nothing else with them.
        (request,) = fake.requests[before:]
        assert manifest["layers"][0]["digest"] in request.path
        assert len(_LARGE) < request.body_bytes < 1.1 * len(_LARGE)
        fake.faults.inject(Fault.WRONG_BYTES)
        with pytest.raises(EstargzError):
            await _content(files, "large")
