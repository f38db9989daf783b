"""Our tables of contents against those of stargz-snapshotter's own converter, entry by entry."""

import pytest
from msgspec.structs import replace

from estargz.toc import TOC_DIGEST_ANNOTATION, Toc, TocEntry
from registry.digest import Digest
from tests.e2e.published_image import PublishedImage
from tests.estargz.blobs import read_files, read_toc

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


def _layers(name: str) -> list[tuple[bytes, Toc]]:
    image = PublishedImage(name)
    blobs = [image.read_blob(digest) for digest in image.layer_digests]
    digests = [layer["annotations"][TOC_DIGEST_ANNOTATION] for layer in image.manifest["layers"]]
    return [
        (blob, read_toc(blob, Digest.parse(digest)))
        for blob, digest in zip(blobs, digests, strict=True)
    ]


def _without_what_may_differ(entry: TocEntry) -> TocEntry:
    """Offsets depend on the compressor; owner names are told anew in each part that Go writes in parallel."""
    return replace(entry, offset=0, user_name="", group_name="")


def test_both_converters_say_the_same_of_every_entry(lazy_name: str, go_lazy_name: str) -> None:
    for (_, ours), (_, theirs) in zip(_layers(lazy_name), _layers(go_lazy_name), strict=True):
        assert len(ours.entries) == len(theirs.entries)
        for mine, other in zip(ours.entries, theirs.entries, strict=True):
            assert _without_what_may_differ(mine) == _without_what_may_differ(other)


def test_their_blobs_hold_what_our_reader_reads(go_lazy_name: str) -> None:
    for blob, toc in _layers(go_lazy_name):
        files = read_files(blob, toc)
        for entry in toc.entries:
            if entry.type == "reg":
                assert entry.digest == str(Digest.of(files[entry.name]))


def test_our_blobs_are_no_larger_than_theirs(lazy_name: str, go_lazy_name: str) -> None:
    ours = sum(len(blob) for blob, _ in _layers(lazy_name))
    theirs = sum(len(blob) for blob, _ in _layers(go_lazy_name))
    assert ours <= 1.02 * theirs
