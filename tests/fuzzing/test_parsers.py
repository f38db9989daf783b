"""Whatever a registry sends, parsers read it or refuse it by one of their own errors, in bounded time and memory."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from estargz.codec import Codec, decompress_start
from estargz.errors import EstargzError
from estargz.file_chunks import check_toc, list_files
from estargz.footer import parse_footer
from estargz.image_rewriting import layer_sources, require_image, rewrite_config
from estargz.image_selection import config_platform
from estargz.members import InnerSpan, decode_member
from estargz.opening import extract_toc, extract_zstd_toc
from estargz.toc import TocLimits, dump_toc, parse_toc
from fs.compiling import compile_layer
from registry.digest import Digest
from registry.errors import ContentError
from registry.manifest import (
    DOCKER_INDEX,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from tests.estargz.blobs import open_blob
from tests.fuzzing.seeds import damaged, load

_LIMITS = TocLimits(max_toc_bytes=1 << 20, max_entries=1000)
_PAYLOAD_BYTES = 5000
_LAYER = Digest.of(b"layer")


def _read_footer(data: bytes) -> None:
    parse_footer(data)


def _read_toc(data: bytes) -> None:
    toc = parse_toc(data, limits=_LIMITS)
    assert parse_toc(dump_toc(toc), limits=_LIMITS) == toc
    for use in (
        lambda: check_toc(toc, payload_bytes=_PAYLOAD_BYTES, limits=_LIMITS),
        lambda: compile_layer(toc, payload_bytes=_PAYLOAD_BYTES, limits=_LIMITS),
    ):
        try:
            use()
        except EstargzError:
            continue


def _read_member(data: bytes, codec: Codec) -> None:
    for size in (1, 17, 5000):
        try:
            assert len(decompress_start(data, size=size, blob_offset=0, codec=codec)) == size
        except EstargzError:
            continue
    list(decode_member(data, [InnerSpan(3, 5), InnerSpan(0, 3)], blob_offset=0, codec=codec))


def _read_blob(data: bytes) -> None:
    found, requests = open_blob(data)
    assert len(requests) <= 3
    extract = extract_toc if found.codec is Codec.GZIP else _extract_zstd
    toc = parse_toc(extract(found, expected=Digest.of(data)), limits=_LIMITS)
    for _file in list_files(toc, payload_bytes=found.payload_bytes):
        pass


def _extract_zstd(found: object, *, expected: Digest) -> bytes:
    return extract_zstd_toc(found, checksum=expected)  # type: ignore[arg-type]


def _read_manifest(data: bytes) -> None:
    for media_type in (None, OCI_MANIFEST, DOCKER_INDEX):
        try:
            document = parse_manifest(data, media_type=media_type)
        except ContentError:
            continue
        assert parse_manifest(dump_manifest(document)) == document
        if isinstance(document, Manifest):
            require_image(document, _LAYER)


def _read_config(data: bytes) -> None:
    config = Descriptor(OCI_CONFIG, Digest.of(data), len(data))
    manifest = Manifest(OCI_MANIFEST, config, (Descriptor(OCI_LAYER_GZIP, _LAYER, 1),))
    config_platform(data)
    sources = layer_sources(manifest, data, _LAYER)
    rewrite_config(data, [source.diff_id for source in sources])


_PARSERS: dict[str, Callable[[bytes], None]] = {
    "footer": _read_footer,
    "toc": _read_toc,
    "gzip_member": lambda data: _read_member(data, Codec.GZIP),
    "zstd_member": lambda data: _read_member(data, Codec.ZSTD),
    "blob": _read_blob,
    "manifest": _read_manifest,
    "config": _read_config,
}


def _read_or_refuse(parser: str, data: bytes) -> None:
    with contextlib.suppress(EstargzError, ContentError):
        _PARSERS[parser](data)


@pytest.mark.parametrize("parser", _PARSERS)
def test_seeds(parser: str) -> None:
    for seed in load(parser):
        _read_or_refuse(parser, seed)


@pytest.mark.parametrize("parser", _PARSERS)
@settings(max_examples=200)
@given(data=st.data())
def test_damaged_seeds(parser: str, data: st.DataObject) -> None:
    _read_or_refuse(parser, data.draw(damaged(parser)))
