"""Both stores, by the same tests."""

from pathlib import Path

import pytest
import trio

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import BadResponseError, ContentError, InvalidReferenceError, LayoutError
from registry.images import ImageName, LayoutName, open_image
from registry.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, dump_manifest
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry, Fault

DATA = bytes(range(256)) * 8192
RAW = dump_manifest(Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, Digest.of(b""), 0), ()))


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("oci:dir", LayoutName(Path("dir"))),
        ("oci:/a/b:1.0", LayoutName(Path("/a/b"), "1.0")),
        ("oci:a:b/c", LayoutName(Path("a:b/c"))),
        ("oci:a:b/c:d", LayoutName(Path("a:b/c"), "d")),
        ("host.io/a:1", Reference("host.io", "a", "1")),
        ("python", Reference("docker.io", "library/python", "latest")),
    ],
)
def test_names(text, location):
    name = ImageName.parse(text)
    assert name.location == location
    assert ImageName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text", ["", "oci:", "oci::", "oci::tag", "oci:dir:", "oci:dir:a b", "oci:a\0b", "A"]
)
def test_what_names_nothing(text):
    with pytest.raises(InvalidReferenceError):
        ImageName.parse(text)


@pytest.fixture(params=["registry", "layout"])
def name(request: pytest.FixtureRequest, fake: FakeRegistry, tmp_path: Path) -> ImageName:
    text = f"{fake.host}/a/b:1" if request.param == "registry" else f"oci:{tmp_path}/layout:1"
    return ImageName.parse(text)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


async def test_an_image_comes_back(name, quick, source):
    digest = Digest.of(DATA)
    sent: list[int] = []
    async with RegistryClient(quick) as client:
        image = open_image(name, client)
        assert not await image.has_blob(digest)
        await image.push_blob(digest, source, on_progress=sent.append)
        await image.push_manifest(RAW, OCI_MANIFEST, tagged=True)
        assert sum(sent) == len(DATA)
        assert await image.has_blob(digest)
        assert await image.read_blob(digest, max_bytes=len(DATA)) == DATA
        part = await image.read_blob_range(digest, start=5, length=10)
        assert (part.start, part.data, part.blob_bytes) == (5, DATA[5:15], len(DATA))
        for length in (10, len(DATA) + 1):
            tail = await image.read_blob_tail(digest, length=length)
            assert (tail.data, tail.blob_bytes) == (DATA[-length:], len(DATA))
        async with image.stream_blob(digest) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == DATA
        fetched = await image.fetch_manifest()
        assert (fetched.data, fetched.media_type) == (RAW, OCI_MANIFEST)
        assert await image.fetch_manifest(Digest.of(RAW)) == fetched
    assert image.describe() == str(image) == str(name)
    assert str(name) in repr(image)


async def test_children_of_an_index_are_found_by_digest_alone(name, quick):
    async with RegistryClient(quick) as client:
        image = open_image(name, client)
        await image.push_manifest(RAW, OCI_MANIFEST, tagged=False)
        assert (await image.fetch_manifest(Digest.of(RAW))).data == RAW
        with pytest.raises(ContentError):
            await image.fetch_manifest()


async def test_what_is_too_large_is_refused(name, quick, source):
    async with RegistryClient(quick) as client:
        image = open_image(name, client)
        await image.push_blob(Digest.of(DATA), source)
        with pytest.raises(ContentError, match="more than 1000 bytes"):
            await image.read_blob(Digest.of(DATA), max_bytes=1000)


async def test_a_stream_may_be_left_early(name, quick, source):
    async with RegistryClient(quick) as client:
        image = open_image(name, client)
        await image.push_blob(Digest.of(DATA), source)
        async with image.stream_blob(Digest.of(DATA)) as chunks:
            assert DATA.startswith(await anext(chunks))


async def test_changed_bytes_from_a_registry_are_refused(fake, quick):
    digest = fake.add_blob("a", DATA)
    fake.faults.inject(Fault.WRONG_BYTES)
    async with RegistryClient(quick) as client:
        image = open_image(ImageName.parse(f"{fake.host}/a:1"), client)
        with pytest.raises(BadResponseError, match="another digest"):
            await image.read_blob(digest, max_bytes=len(DATA))


async def test_a_digest_in_the_name_decides(fake, quick):
    digest = fake.add_manifest("a", "old", RAW, OCI_MANIFEST)
    async with RegistryClient(quick) as client:
        image = open_image(ImageName.parse(f"{fake.host}/a:new@{digest}"), client)
        assert (await image.fetch_manifest()).digest == digest


async def test_a_missing_layout_is_told(tmp_path, quick):
    async with RegistryClient(quick) as client:
        image = open_image(ImageName.parse(f"oci:{tmp_path}/missing"), client)
        with pytest.raises(LayoutError, match="oci-layout cannot be read"):
            await image.fetch_manifest()
        with pytest.raises(LayoutError, match="does not hold"):
            await image.read_blob_tail(Digest.of(b""), length=5)


async def test_siblings(fake, quick, tmp_path):
    async with RegistryClient(quick) as client:
        for text in (f"{fake.host}/a:1", f"oci:{tmp_path}/a:1", f"oci-archive:{tmp_path}/a:1"):
            sibling = open_image(ImageName.parse(text), client).sibling("-more")
            assert sibling.describe() == f"{text}-more"
        by_digest = ImageName.parse(f"{fake.host}/a@{Digest.of(b'')}")
        with pytest.raises(InvalidReferenceError, match="by its tag"):
            open_image(by_digest, client).sibling("-more")


async def test_a_cancelled_copy_leaves_nothing(tmp_path, quick, source):
    async with RegistryClient(quick) as client:
        image = open_image(ImageName.parse(f"oci:{tmp_path}/layout"), client)
        with trio.CancelScope() as scope:
            await image.push_blob(Digest.of(DATA), source, on_progress=lambda _: scope.cancel())
        assert scope.cancelled_caught
        assert not await image.has_blob(Digest.of(DATA))
    assert [file.name for file in (tmp_path / "layout" / "blobs").rglob(".*")] == []


async def test_only_registries_take_blobs_over(fake, quick, tmp_path):
    digest = fake.add_blob("a", b"x")
    async with RegistryClient(quick) as client:
        names = (f"{fake.host}/a:1", f"{fake.host}/b:1", f"oci:{tmp_path}/layout:1")
        source, target, layout = (open_image(ImageName.parse(name), client) for name in names)
        assert await target.take_blob(digest, source)
        assert await target.has_blob(digest)
        assert not await target.take_blob(digest, layout)
        assert not await layout.take_blob(digest, source)
