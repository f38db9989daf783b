import gzip
import json
from pathlib import Path

import pytest

from registry.archives import pack_layout, read_docker_archive, read_oci_archive
from registry.digest import Digest
from registry.errors import LayoutError
from registry.layout import OciLayout
from registry.manifest import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from registry.tar_files import TarFiles
from tests.registry.archives import docker_archive, docker_config, write_tar

_RAW = dump_manifest(Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, Digest.of(b""), 0), ()))


def _layout(directory: Path) -> Path:
    layout = OciLayout.create(directory)
    layout.add_manifest(_RAW, OCI_MANIFEST, tag="1", listed=True)
    return directory


def test_an_oci_archive_comes_back(tmp_path: Path) -> None:
    pack_layout(_layout(tmp_path / "in"), tmp_path / "a.tar")
    tar = TarFiles.open(tmp_path / "a.tar")
    for tag in ("1", None):
        contents = read_oci_archive(tar, tag)
        assert (contents.root.data, contents.root.digest) == (_RAW, Digest.of(_RAW))
        assert set(contents.blobs) == {Digest.of(_RAW)}
    with pytest.raises(LayoutError, match="tagged 2"):
        read_oci_archive(tar, "2")


def test_packing_is_reproducible(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pack_layout(_layout(tmp_path / name), tmp_path / f"{name}.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(tmp_path.glob("*.tar")) == [tmp_path / "a.tar", tmp_path / "b.tar"]
    assert not list(tmp_path.glob(".*"))


def test_packing_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="cannot be written"):
        pack_layout(_layout(tmp_path / "in"), tmp_path / "missing" / "a.tar")


_MARKER = b'{"imageLayoutVersion": "1.0.0"}'
_INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(_RAW)), "size": len(_RAW)},
    ],
}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"oci-layout": b"{}", "index.json": b"{}"},
        {"oci-layout": _MARKER},
        {"oci-layout": _MARKER, "index.json": b"[]"},
        {"oci-layout": _MARKER, "index.json": _RAW},
        {"oci-layout": _MARKER, "index.json": json.dumps(_INDEX).encode()},
        {
            "oci-layout": _MARKER,
            "index.json": json.dumps(_INDEX).encode(),
            f"blobs/sha256/{Digest.of(_RAW).hex}": _RAW + b" ",
            "blobs/sha256/x": b"",
        },
    ],
)
def test_what_is_no_oci_archive(tmp_path: Path, files: dict[str, bytes]) -> None:
    write_tar(tmp_path / "a.tar", {"x": b"", **files})
    with pytest.raises(LayoutError):
        read_oci_archive(TarFiles.open(tmp_path / "a.tar"), None)


def test_what_docker_saves(tmp_path: Path) -> None:
    layers = [b"one" * 1000, gzip.compress(b"two"), b"one" * 1000, b""]
    docker_archive(tmp_path / "a.tar", layers)
    contents = read_docker_archive(TarFiles.open(tmp_path / "a.tar"), None)
    manifest = parse_manifest(contents.root.data)
    assert isinstance(manifest, Manifest)
    assert [layer.digest for layer in manifest.layers] == [Digest.of(layer) for layer in layers]
    types = [OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER, OCI_LAYER]
    assert [layer.media_type for layer in manifest.layers] == types
    assert manifest.config.digest == Digest.of(docker_config(layers))
    assert set(contents.blobs) == {manifest.config.digest, *map(Digest.of, layers)}


@pytest.mark.parametrize("tag", ["1", "a/b:1", "docker.io/a/b:1", None])
def test_a_saved_image_is_found_by_its_names(tmp_path: Path, tag: str | None) -> None:
    docker_archive(tmp_path / "a.tar", [b"x"], tags=["a/b:1", "c:2"])
    read_docker_archive(TarFiles.open(tmp_path / "a.tar"), tag)


@pytest.mark.parametrize("tag", ["2", "a/c:1", "UPPER:3"])
def test_a_name_that_was_not_saved(tmp_path: Path, tag: str) -> None:
    docker_archive(tmp_path / "a.tar", [b"x"])
    with pytest.raises(LayoutError, match="a/b:1"):
        read_docker_archive(TarFiles.open(tmp_path / "a.tar"), tag)


@pytest.mark.parametrize(
    "manifest",
    [
        b"x",
        b"[]",
        b'[{"Config": "c", "Layers": []}, {"Config": "c", "Layers": []}]',
        b'[{"Config": "missing", "Layers": []}]',
        b'[{"Config": "c", "Layers": ["/etc/passwd"]}]',
        b'[{"Config": "c", "Layers": ["../../etc/passwd"]}]',
    ],
)
def test_what_is_no_docker_archive(tmp_path: Path, manifest: bytes) -> None:
    write_tar(tmp_path / "a.tar", {"manifest.json": manifest, "c": b"{}"})
    with pytest.raises(LayoutError):
        read_docker_archive(TarFiles.open(tmp_path / "a.tar"), None)
