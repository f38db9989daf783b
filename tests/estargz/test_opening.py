import gzip
import random

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec
from estargz.errors import (
    DigestMismatchError,
    EstargzError,
    ExternalTocError,
    NotEstargzError,
    TocError,
)
from estargz.footer import (
    EXTERNAL_FOOTER_BYTES,
    FOOTER_BYTES,
    ExternalFooter,
    Footer,
    ZstdFooter,
    dump_footer,
    skippable_frame,
)
from estargz.opening import (
    FoundToc,
    RangeRequest,
    TailRequest,
    extract_toc,
    extract_zstd_toc,
    found_elsewhere,
    open_layer,
)
from estargz.toc import TocLimits
from registry.digest import Digest
from tests.estargz.blobs import answer, drive, open_blob, write_blob
from tests.strategies import Node, build_tar

_NOISE = random.Random(1).randbytes(200_000)
_WRITTEN = write_blob(build_tar([Node(name="noise", content=_NOISE), Node(name="b", content=b"x")]))
_BLOB = _WRITTEN.data
_TOC_OFFSET = int(_BLOB[-FOOTER_BYTES + 16 : -FOOTER_BYTES + 32], 16)
_TOC = _BLOB[_TOC_OFFSET:-FOOTER_BYTES]


def _found(compressed: bytes) -> FoundToc:
    return FoundToc(
        compressed=compressed,
        toc_offset=100,
        blob_bytes=100 + len(compressed) + FOOTER_BYTES,
        payload_bytes=100,
    )


def _tar_gz(name: str, content: bytes) -> bytes:
    return gzip.compress(build_tar([Node(name=name, content=content)]))


def test_one_request_is_enough() -> None:
    compressed, requests = drive(open_layer(), _BLOB)
    assert compressed == _TOC
    assert requests == [TailRequest(64 << 10)]


@pytest.mark.parametrize(
    "tail_bytes", [51, 52, 300, len(_TOC) + 50, len(_TOC) + 51, len(_BLOB) + 9]
)
def test_a_long_toc_takes_a_second_request_for_the_rest(tail_bytes: int) -> None:
    compressed, requests = drive(open_layer(tail_bytes=tail_bytes), _BLOB)
    assert compressed == _TOC
    missing = len(_TOC) + FOOTER_BYTES - tail_bytes
    assert requests[1:] == ([RangeRequest(_TOC_OFFSET, missing)] if missing > 0 else [])


@pytest.mark.parametrize("offset", [len(_BLOB) - FOOTER_BYTES, len(_BLOB), 1 << 62])
def test_a_footer_that_points_outside_is_refused(offset: int) -> None:
    blob = _BLOB[:-FOOTER_BYTES] + dump_footer(Footer(offset))
    opening = open_layer()
    with pytest.raises(TocError):
        opening.send(answer(blob, next(opening)))


def test_an_ordinary_layer_is_refused_after_one_request() -> None:
    opening = open_layer()
    with pytest.raises(NotEstargzError):
        opening.send(answer(_tar_gz("a", b"b"), next(opening)))


def test_an_absurdly_long_toc_is_not_asked_for() -> None:
    opening = open_layer(tail_bytes=100, limits=TocLimits(max_toc_bytes=10))
    with pytest.raises(TocError, match="more than is read"):
        opening.send(answer(_BLOB, next(opening)))


def test_the_toc_is_unpacked_and_verified() -> None:
    raw = extract_toc(_found(_TOC), expected=_WRITTEN.finished.toc_digest)
    assert Digest.of(raw) == _WRITTEN.finished.toc_digest
    with pytest.raises(DigestMismatchError, match="TOC"):
        extract_toc(_found(_TOC), expected=Digest.of(b"another"))


@pytest.mark.parametrize(
    ("compressed", "error"),
    [
        (_tar_gz("other.json", b"{}"), NotEstargzError),
        (gzip.compress(bytes(1024)), NotEstargzError),
        (gzip.compress(b"no tar" * 200), TocError),
        (_TOC[:-1], TocError),
        (b"garbage", TocError),
    ],
    ids=["other-name", "empty-tar", "no-tar", "cut", "garbage"],
)
def test_what_is_no_toc_is_refused(compressed: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        extract_toc(_found(compressed), expected=_WRITTEN.finished.toc_digest)


@pytest.mark.parametrize("sparse", ["GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.realsize"])
def test_hostile_headers_are_refused_before_the_digest_is_known(sparse: str) -> None:
    tar = build_tar([Node(name="stargz.index.json", content=b"{}", pax={sparse: "x"})])
    with pytest.raises(TocError):
        extract_toc(_found(gzip.compress(tar)), expected=Digest.of(b"{}"))


def test_a_toc_that_unpacks_to_too_much_is_refused() -> None:
    limits = TocLimits(max_toc_bytes=1000)
    with pytest.raises(TocError, match="longer than 1000"):
        extract_toc(_found(_TOC), expected=_WRITTEN.finished.toc_digest, limits=limits)


_RAW = b'{"version": 1, "entries": []}'
_FRAME = zstandard.ZstdCompressor().compress(_RAW)


def _zstd_blob(
    *, toc_bytes: int = len(_FRAME), raw_bytes: int = len(_RAW), shift: int = 0
) -> bytes:
    payload = zstandard.ZstdCompressor().compress(_NOISE[:1000])
    footer = ZstdFooter(
        toc_offset=len(payload) + 8 + shift, toc_bytes=toc_bytes, raw_toc_bytes=raw_bytes
    )
    # What follows the TOC, as tar-split data may, is not part of it.
    return payload + skippable_frame(_FRAME) + skippable_frame(b"split") + dump_footer(footer)


@pytest.mark.parametrize("tail_bytes", [48, 49, 60, 70, 90, 1 << 16])
def test_the_toc_of_a_zstd_blob(tail_bytes: int) -> None:
    found, requests = open_blob(_zstd_blob(), tail_bytes=tail_bytes)
    assert found.compressed == _FRAME
    assert found.codec is Codec.ZSTD
    assert found.payload_bytes == found.toc_offset - 8
    assert len(requests) <= 2
    assert extract_toc(found, expected=Digest.of(_RAW)) == _RAW
    assert extract_zstd_toc(found, checksum=Digest.of(_FRAME)) == _RAW


def test_a_zstd_toc_is_checked_in_either_form() -> None:
    found, _ = open_blob(_zstd_blob())
    with pytest.raises(DigestMismatchError, match="compressed"):
        extract_zstd_toc(found, checksum=Digest.of(_RAW))
    with pytest.raises(DigestMismatchError, match="TOC"):
        extract_toc(found, expected=Digest.of(_FRAME))


@pytest.mark.parametrize("shift", [-200, -1, 1, 1 << 10, 1 << 62])
def test_a_zstd_footer_that_points_elsewhere_is_refused(shift: int) -> None:
    with pytest.raises((TocError, DigestMismatchError)):
        extract_toc(open_blob(_zstd_blob(shift=shift))[0], expected=Digest.of(_RAW))


def test_a_zstd_toc_shorter_than_its_footer_says_is_refused() -> None:
    found, _ = open_blob(_zstd_blob(raw_bytes=len(_RAW) + 1))
    with pytest.raises(TocError, match="expected"):
        extract_toc(found, expected=Digest.of(_RAW))


def test_a_zstd_toc_that_unpacks_to_too_much_is_refused() -> None:
    found, _ = open_blob(_zstd_blob(raw_bytes=1 << 62))
    with pytest.raises(TocError, match="longer than"):
        extract_toc(found, expected=Digest.of(_RAW))


def test_a_toc_in_another_image() -> None:
    blob = _BLOB[:_TOC_OFFSET] + dump_footer(ExternalFooter())
    with pytest.raises(ExternalTocError) as caught:
        open_blob(blob)
    found = found_elsewhere(_TOC, blob_bytes=caught.value.blob_bytes)
    assert found.payload_bytes == len(blob) - EXTERNAL_FOOTER_BYTES
    assert extract_toc(found, expected=_WRITTEN.finished.toc_digest)


@settings(max_examples=300, derandomize=True)
@given(st.sampled_from([_BLOB[_TOC_OFFSET - 50 :], _zstd_blob()]), st.data())
def test_damaged_blobs_are_refused_by_typed_errors(blob: bytes, data: st.DataObject) -> None:
    damaged = bytearray(blob)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, _ = open_blob(bytes(damaged))
        extract_toc(found, expected=Digest.of(_RAW))
    except EstargzError:
        return
