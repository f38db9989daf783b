from pathlib import Path

import pytest

from estargz.errors import ConversionError
from estargz.image_reading import read_image
from registry.digest import Digest
from registry.errors import InvalidManifestError, LayoutError
from registry.manifest import DOCKER_LAYER_FOREIGN
from tests.estargz.layouts import DOCKER, OCI, Family, Layer, Layout
from tests.strategies import Node, build_tar

_TAR = build_tar([Node(name="a", content=b"a")])
_OTHER = build_tar([Node(name="b", content=b"b")])
_ARM = {"os": "linux", "architecture": "arm64", "variant": "v8"}
_ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


@pytest.mark.parametrize("family", [OCI, DOCKER], ids=["oci", "docker"])
async def test_one_image(tmp_path: Path, family: Family) -> None:
    layout = Layout(tmp_path, family)
    image = layout.add_image([Layer(tar=_TAR), Layer(tar=_OTHER), Layer(tar=_TAR)])
    read = await read_image(layout.name(image))
    assert read.index is None
    (manifest,) = read.manifests
    assert str(read.digest) == str(manifest.digest) == image["digest"]
    diff_ids = [Digest.of(tar) for tar in (_TAR, _OTHER, _TAR)]
    assert [layer.diff_id for layer in manifest.layers] == diff_ids


@pytest.mark.parametrize("family", [OCI, DOCKER], ids=["oci", "docker"])
async def test_an_index_with_an_attestation_and_a_child_listed_twice(
    tmp_path: Path, family: Family
) -> None:
    layout = Layout(tmp_path, family)
    image = layout.add_image([Layer(tar=_TAR)], platform=_ARM)
    attestation = layout.add_json("application/vnd.oci.image.manifest.v1+json", {})
    index = layout.add_index([image, {**attestation, "annotations": _ATTESTATION}, image])
    read = await read_image(layout.name(index))
    assert str(read.digest) == index["digest"]
    assert [manifest.platform for manifest in read.manifests] == ["linux/arm64/v8"]
    assert [str(digest) for digest in read.left_out] == [attestation["digest"]]


async def test_an_index_without_images_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(ConversionError, match="lists no image"):
        await read_image(layout.name(layout.add_index([])))


async def test_an_index_in_an_index_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    inner = layout.add_index([layout.add_image([Layer(tar=_TAR)])])
    with pytest.raises(ConversionError, match="nested"):
        await read_image(layout.name(layout.add_index([inner])))
    unnamed = layout.add_index([{**inner, "mediaType": "application/x-unknown"}])
    with pytest.raises(ConversionError, match="nested"):
        await read_image(layout.name(unnamed))
    disguised = layout.add_index([{**inner, "mediaType": OCI.manifest}])
    with pytest.raises(InvalidManifestError):
        await read_image(layout.name(disguised))


async def test_an_artifact_alone_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    config = layout.add_json("application/vnd.cncf.helm.config.v1+json", {})
    helm = layout.add_image([Layer(tar=_TAR)], manifest={"config": config})
    with pytest.raises(ConversionError, match="helm"):
        await read_image(layout.name(helm))
    with pytest.raises(ConversionError, match="no image"):
        await read_image(layout.name(layout.add_index([helm])))


async def test_foreign_layers_are_marked(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    windows = layout.add_image([Layer(tar=_TAR, media_type=DOCKER_LAYER_FOREIGN)])
    (image,) = (await read_image(layout.name(windows))).manifests
    assert [layer.foreign for layer in image.layers] == [True]


async def test_a_blob_with_two_contents_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    image = layout.add_image([Layer(tar=_TAR), Layer(tar=_TAR, diff_id=str(Digest.of(b"x")))])
    with pytest.raises(ConversionError, match="disagree"):
        await read_image(layout.name(image))


async def test_a_config_of_another_image_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    config = {"rootfs": {"type": "layers", "diff_ids": []}}
    image = layout.add_image([Layer(tar=_TAR)], config=config)
    with pytest.raises(ConversionError, match="0 layers"):
        await read_image(layout.name(image))


async def test_a_missing_config_is_the_stores_error(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    config = {"mediaType": OCI.config, "digest": str(Digest.of(b"?")), "size": 1}
    image = layout.add_image([Layer(tar=_TAR)], manifest={"config": config})
    with pytest.raises(LayoutError):
        await read_image(layout.name(image))
