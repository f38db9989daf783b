"""Layers that skopeo writes with the library of podman, buildah and CRI-O (containers/storage): read, verified and mounted."""

import gzip
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from estargz.codec import Codec
from estargz.opening import extract_zstd_toc
from estargz.toc import (
    TOC_DIGEST_ANNOTATION,
    ZSTD_CHECKSUM_ANNOTATION,
    ZSTD_POSITION_ANNOTATION,
    Toc,
    parse_toc,
)
from registry.digest import Digest
from tests.e2e.conftest import Node
from tests.e2e.ctr import run_command
from tests.e2e.image_views import mounted_image
from tests.e2e.layered_tree import BuiltImage
from tests.e2e.oci_layout import WrittenLayer, read_blob, read_manifest, write_image
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import run_cli
from tests.e2e.tree import compare_trees
from tests.estargz.blobs import open_blob, read_files
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="session")
def skopeo_image(
    image: BuiltImage, registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> PublishedImage:
    """The two layers with one of everything, compressed as zstd:chunked by skopeo on its way to the registry."""
    layout = tmp_path_factory.mktemp("specimens")
    _write_upper_layers(image.layout, layout)
    name = f"{registry.host}/skopeo:1"
    how = ("--dest-compress", "--dest-compress-format", "zstd:chunked", "--dest-tls-verify=false")
    words = ("skopeo", "--insecure-policy", "copy", *how, f"oci:{layout}", f"docker://{name}")
    run_command(words)
    return PublishedImage(name)


def _write_upper_layers(source: Path, target: Path) -> None:
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = []
    for descriptor in read_manifest(source)["layers"][2:]:
        tar = _without_padding(gzip.decompress(read_blob(source, descriptor["digest"])))
        blob = gzip.compress(tar, 1, mtime=0)
        digest = Digest.of(blob)
        (blobs / digest.hex).write_bytes(blob)
        changed = {**descriptor, "digest": str(digest), "size": len(blob)}
        layers.append(WrittenLayer(changed, str(Digest.of(tar)), len(tar)))
    write_image(target, layers, {"Cmd": ["true"]})


def _without_padding(tar: bytes) -> bytes:
    """Ends a tar behind its two blocks of zeros: skopeo 1.9 would cut what follows, and with it the diffID's meaning."""
    content = tar.rstrip(b"\0")
    return content + bytes(-len(content) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _open(image: PublishedImage, number: int) -> tuple[bytes, Toc, Digest]:
    """A layer's blob, its TOC, and the digest of that."""
    layer = image.manifest["layers"][number]
    blob = image.read_blob(layer["digest"])
    found, _requests = open_blob(blob)
    assert found.codec is Codec.ZSTD
    position = layer["annotations"][ZSTD_POSITION_ANNOTATION].split(":")
    assert (found.toc_offset, len(found.compressed)) == (int(position[0]), int(position[1]))
    checksum = Digest.parse(layer["annotations"][ZSTD_CHECKSUM_ANNOTATION])
    raw = extract_zstd_toc(found, checksum=checksum)
    return blob[: found.payload_bytes], parse_toc(raw), Digest.of(raw)


def test_every_chunk_is_read_by_its_own_range(skopeo_image: PublishedImage) -> None:
    payload, toc, _digest = _open(skopeo_image, 0)
    assert Counter(entry.chunk_type for entry in toc.entries)["zeros"]
    files = read_files(payload, toc, codec=Codec.ZSTD)
    regular = [entry for entry in toc.entries if entry.type == "reg"]
    assert any(entry.size and not entry.chunk_digest for entry in regular)
    for entry in regular:
        assert entry.digest in {str(Digest.of(files.get(entry.name, b""))), ""}


def test_it_is_verified_and_mounted(
    skopeo_image: PublishedImage, node: Node, tmp_path: Path
) -> None:
    name, annotated = skopeo_image.name, _annotate(skopeo_image)
    assert "is the same" in run_cli("verify", annotated.name)
    node.ctr.rpull(annotated.name)
    node.ctr.pull(name)
    assert set(node.ctr.snapshot_keys(snapshotter="stargz"))
    diff_ids = skopeo_image.diff_ids
    with (
        mounted_image(node.ctr, diff_ids, tmp_path / "plain", snapshotter="overlayfs") as expected,
        mounted_image(node.ctr, diff_ids, tmp_path / "lazy", snapshotter="stargz") as actual,
    ):
        differences = compare_trees(expected, actual)
    # No layer says anything about the root directory itself: its time is that of the unpacking.
    assert [line for line in differences if not line.startswith("'.': mtime")] == []


def _annotate(image: PublishedImage) -> PublishedImage:
    """The same layers under another tag, with what containerd hands to a snapshotter."""
    layers = []
    for number, layer in enumerate(image.manifest["layers"]):
        annotations = layer["annotations"] | {
            TOC_DIGEST_ANNOTATION: str(_open(image, number)[2]),
        }
        layers.append({**layer, "annotations": annotations})
    return image.put_manifest("annotated", {**image.manifest, "layers": layers})
