"""Every kind of layer that stargz-snapshotter's tools write is read, and what is written is read by them and by containerd."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import pytest
import trio

from estargz.codec import Codec
from estargz.convert import ConversionOptions, convert_image
from estargz.external_toc import fetch_external_toc, toc_reference
from estargz.opening import extract_toc, extract_zstd_toc, found_elsewhere
from estargz.ordering import Missing, PrefetchList
from estargz.planning import BlobLayout, WriterOptions
from estargz.toc import (
    TOC_DIGEST_ANNOTATION,
    ZSTD_CHECKSUM_ANNOTATION,
    ZSTD_POSITION_ANNOTATION,
    Toc,
    parse_toc,
)
from registry.client import RegistryClient
from registry.digest import Digest
from registry.images import RegistryImage
from registry.reference import Reference
from tests.e2e.containerd import Containerd
from tests.e2e.published_image import PublishedImage
from tests.estargz.blobs import open_blob, read_files, read_toc
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.registry,
    pytest.mark.timeout(400),
]

_PRINT = ["python3", "-c", "print(1)"]
_PREFETCH = PrefetchList(
    paths=("usr/bin/python3.11", "usr/lib/x86_64-linux-gnu/libc.so.6"), missing=Missing.COLLECT
)
_KINDS = {
    "gzip": WriterOptions(prefetch=_PREFETCH),
    "zstd": WriterOptions(codec=Codec.ZSTD, prefetch=_PREFETCH),
    "shared-members": WriterOptions(min_chunk_bytes=50_000),
    "shared-frames": WriterOptions(codec=Codec.ZSTD, min_chunk_bytes=50_000),
    "external-toc": WriterOptions(layout=BlobLayout.EXTERNAL_TOC),
    "lossless": WriterOptions(layout=BlobLayout.LOSSLESS),
}


def _check_files(blob: bytes, toc: Toc, codec: Codec) -> None:
    """Reads every chunk by its own range; compares whole files with their digests, too."""
    files = read_files(blob, toc, codec=codec)
    assert files
    for entry in toc.entries:
        if entry.type == "reg":
            assert entry.digest == str(Digest.of(files.get(entry.name, b"")))


def _layers(name: str) -> Iterator[tuple[bytes, Mapping[str, str], str]]:
    image = PublishedImage(name)
    for layer in image.manifest["layers"]:
        yield image.read_blob(layer["digest"]), layer["annotations"], layer["digest"]


def test_their_zstd_layers_hold_what_our_reader_reads(go_zstd_name: str) -> None:
    for blob, annotations, _ in _layers(go_zstd_name):
        found, requests = open_blob(blob)
        assert found.codec is Codec.ZSTD
        assert len(requests) <= 2
        raw = extract_toc(found, expected=Digest.parse(annotations[TOC_DIGEST_ANNOTATION]))
        checksum = Digest.parse(annotations[ZSTD_CHECKSUM_ANNOTATION])
        assert extract_zstd_toc(found, checksum=checksum) == raw
        position = f"{found.toc_offset}:{len(found.compressed)}:{len(raw)}:1"
        assert annotations[ZSTD_POSITION_ANNOTATION] == position
        _check_files(blob[: found.payload_bytes], parse_toc(raw), found.codec)


async def _convert(plain_name: str, registry: RealRegistry, kind: str) -> str:
    name = f"{registry.host}/debian-kinds:{kind}"
    reference = Reference.parse(name)
    async with RegistryClient() as client:
        await convert_image(
            RegistryImage(Reference.parse(plain_name), client),
            RegistryImage(reference, client),
            ConversionOptions(writer=_KINDS[kind]),
            progress=lambda _event: None,
            toc_target=RegistryImage(toc_reference(reference), client),
        )
    return name


@pytest.fixture(scope="session")
def converted(plain_name: str, registry: RealRegistry) -> Callable[[str], str]:
    """A function that gives the name of the Debian image with one kind of layers, made at the first call."""
    return cache(lambda kind: trio.run(_convert, plain_name, registry, kind))


@pytest.mark.parametrize("kind", _KINDS)
def test_containerd_unpacks_and_runs_every_kind(
    overlay_containerd: Containerd, converted: Callable[[str], str], kind: str
) -> None:
    name = converted(kind)
    ctr = overlay_containerd.ctr()
    ctr.pull(name)
    assert ctr.run(name, _PRINT, snapshotter="overlayfs") == "1\n"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "shared-members", "shared-frames"])
def test_their_tool_finds_our_tables_of_contents(
    overlay_containerd: Containerd, converted: Callable[[str], str], kind: str
) -> None:
    name = converted(kind)
    ctr = overlay_containerd.ctr()
    ctr.pull(name)
    extra = ["--zstdchunked"] if _KINDS[kind].codec is Codec.ZSTD else []
    for blob, annotations, digest in _layers(name):
        stated = annotations[TOC_DIGEST_ANNOTATION]
        assert ctr.remote("images", "get-toc-digest", *extra, digest).strip() == stated
        found, _ = open_blob(blob)
        toc = parse_toc(extract_toc(found, expected=Digest.parse(stated)))
        _check_files(blob[: found.payload_bytes], toc, found.codec)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_their_optimizer_takes_our_layers_as_they_are(
    overlay_containerd: Containerd, converted: Callable[[str], str], kind: str
) -> None:
    name = converted(kind)
    ctr = overlay_containerd.ctr()
    ctr.pull(name)
    # It looks at layers only when it runs the image, and keeps those of which nothing was read.
    options = ["--oci", "--reuse", "--net-host", "--period", "2", "--args", '["true"]']
    options += ["--zstdchunked"] if kind == "zstd" else ["--estargz-compression-level", "1"]
    again = f"{name}-again"
    ctr.remote("images", "optimize", *options, name, again)
    ctr.push(again)
    ours, theirs = PublishedImage(name), PublishedImage(again)
    assert len(set(ours.layer_digests) & set(theirs.layer_digests)) >= 2
    for layer in theirs.manifest["layers"]:
        assert TOC_DIGEST_ANNOTATION in layer["annotations"]


@pytest.mark.parametrize("kind", ["external-toc", "lossless"])
def test_tocs_apart_from_their_layers(
    plain_name: str, converted: Callable[[str], str], kind: str
) -> None:
    name = converted(kind)
    for blob, annotations, digest in _layers(name):
        compressed = trio.run(_fetch_toc, name, digest)
        found = found_elsewhere(compressed, blob_bytes=len(blob))
        raw = extract_toc(found, expected=Digest.parse(annotations[TOC_DIGEST_ANNOTATION]))
        _check_files(blob[: found.payload_bytes], parse_toc(raw), found.codec)
    is_same = PublishedImage(name).diff_ids == PublishedImage(plain_name).diff_ids
    assert is_same == (kind == "lossless")


async def _fetch_toc(name: str, layer: str) -> bytes:
    async with RegistryClient() as client:
        return await fetch_external_toc(client, Reference.parse(name), Digest.parse(layer))


def test_what_was_to_come_first_does(converted: Callable[[str], str]) -> None:
    firsts = []
    for blob, annotations, _ in _layers(converted("gzip")):
        toc = read_toc(blob, Digest.parse(annotations[TOC_DIGEST_ANNOTATION]))
        firsts.append([entry.name for entry in toc.entries if entry.type == "reg"][:2])
    assert any("python3" in first[0] and first[1] == ".prefetch.landmark" for first in firsts)
