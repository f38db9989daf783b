from pathlib import Path

import pytest

from registry.archive_image import ArchiveImage
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import LayoutError
from registry.image_names import ArchiveFormat, ArchiveName, ImageName
from registry.images import open_image, open_target
from registry.manifest import Manifest, parse_manifest
from registry.settings import ClientSettings
from tests.registry.archives import docker_archive

_LAYERS = [bytes(range(256)) * 8192, b"x"]


def _names(directory: Path) -> list[str]:
    # The fixture of this package has its own directory there.
    return sorted(path.name for path in directory.iterdir() if path.name != "docker")


async def _images(tmp_path: Path) -> list[ArchiveImage]:
    """The same image in both kinds of archive; the second written from the first."""
    docker = ArchiveName(ArchiveFormat.DOCKER, tmp_path / "docker.tar")
    docker_archive(docker.path, _LAYERS)
    source = ArchiveImage(docker)
    root = await source.fetch_manifest()
    manifest = parse_manifest(root.data)
    assert isinstance(manifest, Manifest)
    oci = ArchiveName(ArchiveFormat.OCI, tmp_path / "oci.tar", "1")
    async with (
        RegistryClient(ClientSettings()) as client,
        open_target(ImageName(oci), client) as target,
    ):
        for blob in (manifest.config, *manifest.layers):
            path = tmp_path / "blob"
            path.write_bytes(await source.read_blob(blob.digest, max_bytes=blob.size))
            await target.push_blob(blob.digest, path)
        await target.push_manifest(root.data, root.media_type, tagged=True)
        assert not oci.path.exists()
    return [source, ArchiveImage(oci)]


async def test_both_kinds_give_the_same_image(tmp_path: Path) -> None:
    source, copy = await _images(tmp_path)
    assert await source.fetch_manifest() == await copy.fetch_manifest()
    digest = Digest.of(_LAYERS[0])
    for image in (source, copy):
        assert await image.has_blob(digest)
        assert not await image.has_blob(Digest.of(b""))
        async with image.stream_blob(digest) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == _LAYERS[0]
        part = await image.read_blob_range(digest, start=5, length=10)
        assert (part.start, part.data, part.blob_bytes) == (5, _LAYERS[0][5:15], len(_LAYERS[0]))
        for length in (10, len(_LAYERS[0]) + 1):
            tail = await image.read_blob_tail(digest, length=length)
            assert tail.data == _LAYERS[0][-length:]
        root = await image.fetch_manifest()
        assert await image.fetch_manifest(root.digest) == root
        assert str(image) in repr(image)
    assert _names(tmp_path) == ["blob", "docker.tar", "oci.tar"]


async def test_what_cannot_be_had(tmp_path: Path) -> None:
    for image in await _images(tmp_path):
        with pytest.raises(LayoutError, match="does not hold"):
            await image.read_blob(Digest.of(b"?"), max_bytes=10)
        with pytest.raises(LayoutError, match="more than 10"):
            await image.read_blob(Digest.of(_LAYERS[0]), max_bytes=10)
        with pytest.raises(LayoutError, match="cannot be added"):
            await image.push_blob(Digest.of(b""), tmp_path / "blob")
        with pytest.raises(LayoutError, match="cannot be added"):
            await image.push_manifest(b"", "x", tagged=True)


async def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    _docker, image = await _images(tmp_path)
    path = tmp_path / "oci.tar"
    path.write_bytes(
        path.read_bytes().replace(b'"architecture": "amd64"', b'"architecture": "arm64"')
    )
    manifest = parse_manifest((await image.fetch_manifest()).data)
    assert isinstance(manifest, Manifest)
    with pytest.raises(LayoutError, match="another digest"):
        await image.read_blob(manifest.config.digest, max_bytes=10_000)


@pytest.mark.parametrize("kind", list(ArchiveFormat))
async def test_an_archive_that_is_not_there(tmp_path: Path, kind: ArchiveFormat) -> None:
    async with RegistryClient(ClientSettings()) as client:
        image = open_image(ImageName(ArchiveName(kind, tmp_path / "missing")), client)
        with pytest.raises(LayoutError, match="missing"):
            await image.fetch_manifest()


async def test_targets_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"precious")
    for text, reason in {
        f"oci-archive:{tmp_path}/there": "exists already",
        f"oci-archive:{tmp_path}/no/where": "cannot be written",
        f"docker-archive:{tmp_path}/new": "oci-archive",
    }.items():
        async with RegistryClient(ClientSettings()) as client:
            with pytest.raises(LayoutError, match=reason):
                async with open_target(ImageName.parse(text), client):
                    pass
    assert (tmp_path / "there").read_bytes() == b"precious"


async def test_a_failure_leaves_no_archive(tmp_path: Path) -> None:
    async with RegistryClient(ClientSettings()) as client:
        with pytest.raises(ValueError, match="half-way"):
            async with open_target(ImageName.parse(f"oci-archive:{tmp_path}/a"), client):
                raise ValueError("half-way")
    assert _names(tmp_path) == []
