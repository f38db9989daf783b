"""Layers as the converter makes them, of a tar with one of everything, in a registry that counts."""

import random
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from estargz.codec import Codec
from estargz.layer_conversion import convert_layer
from estargz.planning import BlobLayout, WriterOptions
from estargz.toc_image import make_toc_image
from registry.digest import Digest
from registry.manifest import dump_manifest
from tests.e2e.specimens import SpecimenTar, fill_specimens
from tests.fakes.registry import FakeRegistry

FORMATS = {
    "gzip": WriterOptions(chunk_bytes=256 << 10),
    "zstd:chunked": WriterOptions(chunk_bytes=256 << 10, codec=Codec.ZSTD, compression_level=3),
    "min-chunk": WriterOptions(chunk_bytes=64 << 10, min_chunk_bytes=200_000),
    "external TOC": WriterOptions(chunk_bytes=256 << 10, layout=BlobLayout.EXTERNAL_TOC),
}
_REPOSITORY = "test/converted"


@dataclass(frozen=True, slots=True)
class ConvertedLayer:
    """A layer in the registry."""

    reference: str
    digest: Digest
    toc_digest: Digest


def make_tar(path: Path, program: bytes) -> None:
    """One of everything, a large file, and many small ones."""
    choose = random.Random(5)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        fill_specimens(tar, program=program)
        specimens = SpecimenTar(tar)
        specimens.file("large", choose.randbytes(3_000_001) + bytes(2_000_000))
        specimens.directory("many")
        for number in range(300):
            specimens.file(f"many/{number:03}", choose.randbytes(choose.randrange(1, 9000)))


def unpack(tar: Path, directory: Path) -> None:
    """As containerd does: attributes of the namespace ``trusted.`` are left out."""
    directory.mkdir()
    names = ("--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.*")
    options = ("--numeric-owner", "--delay-directory-restore", *names)
    command = ["tar", "-x", "-p", *options, "-f", str(tar), "-C", str(directory)]
    subprocess.run(command, check=True)


def push_converted(
    tar: Path, fake: FakeRegistry, options: WriterOptions, work: Path
) -> ConvertedLayer:
    """Converts a tar and puts the blob, and its TOC if that is apart, into the registry."""
    blob = work / "blob"
    with ThreadPoolExecutor() as pool:
        finished = convert_layer(tar, blob, options, pool=pool, window=8, report=lambda _: None)
    fake.add_blob(_REPOSITORY, blob.read_bytes())
    blob.unlink()
    tag = finished.digest.raw.hex()[:12]
    if finished.external_toc:
        image = make_toc_image({finished.digest: finished.external_toc})
        for content in image.blobs.values():
            fake.add_blob(_REPOSITORY, content)
        raw = dump_manifest(image.manifest)
        fake.add_manifest(_REPOSITORY, f"{tag}-esgztoc", raw, image.manifest.media_type)
    reference = f"{fake.host}/{_REPOSITORY}:{tag}"
    return ConvertedLayer(reference, finished.digest, finished.toc_digest)
