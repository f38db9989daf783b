import gzip
import random

import pytest

from estargz.errors import DigestMismatchError, NotEstargzError, TocError
from estargz.footer import FOOTER_BYTES, Footer, dump_footer
from estargz.opening import FoundToc, RangeRequest, TailRequest, extract_toc, open_layer
from estargz.toc import TocLimits
from registry.digest import Digest
from tests.estargz.blobs import answer, drive, write_blob
from tests.strategies import Node, build_tar

_NOISE = random.Random(1).randbytes(200_000)
_WRITTEN = write_blob(build_tar([Node(name="noise", content=_NOISE), Node(name="b", content=b"x")]))
_BLOB = _WRITTEN.data
_TOC_OFFSET = int(_BLOB[-FOOTER_BYTES + 16 : -FOOTER_BYTES + 32], 16)
_TOC = _BLOB[_TOC_OFFSET:-FOOTER_BYTES]


def _found(compressed: bytes) -> FoundToc:
    return FoundToc(compressed, 100, 100 + len(compressed) + FOOTER_BYTES)


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
