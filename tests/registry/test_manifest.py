import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from registry.digest import Digest
from registry.errors import InvalidManifestError
from registry.manifest import (
    DOCKER_MANIFEST,
    MAX_DESCRIPTORS,
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    dump_manifest,
    parse_manifest,
)
from tests.registry.strategies import indexes, manifests

_ENTRY = {"mediaType": OCI_CONFIG, "digest": str(Digest.of(b"")), "size": 0}


def _document(**changes: Any) -> bytes:
    document = {"schemaVersion": 2, "config": _ENTRY, "layers": [_ENTRY], **changes}
    return json.dumps({key: value for key, value in document.items() if value != "absent"}).encode()


@given(manifests() | indexes())
def test_parse_undoes_dump(manifest):
    raw = dump_manifest(manifest)
    assert parse_manifest(raw) == manifest
    assert parse_manifest(raw, media_type=f"{manifest.media_type}; charset=utf-8") == manifest
    assert dump_manifest(parse_manifest(raw)) == raw
    assert json.loads(raw)["schemaVersion"] == 2


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_a_manifest_or_an_error(raw):
    with pytest.raises(InvalidManifestError, match=str(Digest.of(raw))):
        parse_manifest(raw)


def test_the_order_of_annotations_does_not_matter():
    entry = Descriptor(OCI_CONFIG, Digest.of(b""), 0)
    one = Manifest(OCI_MANIFEST, entry, (), {"a": "1", "b": "2"})
    other = Manifest(OCI_MANIFEST, entry, (), {"b": "2", "a": "1"})
    assert dump_manifest(one) == dump_manifest(other)


def test_without_a_media_type_the_content_decides():
    assert parse_manifest(_document()).media_type == OCI_MANIFEST
    assert parse_manifest(_document(), media_type=DOCKER_MANIFEST).media_type == DOCKER_MANIFEST
    assert parse_manifest(_document(), media_type="text/plain").media_type == OCI_MANIFEST
    index = parse_manifest(b'{"schemaVersion": 2, "manifests": []}')
    assert index == Index(OCI_INDEX, ())


def test_null_means_absent():
    parsed = parse_manifest(_document(annotations=None, subject=None, mediaType=None))
    assert (parsed.annotations, parsed.subject) == ({}, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (_document(schemaVersion=1), "schema version 1"),
        (_document(schemaVersion="absent"), "schemaVersion"),
        (_document(manifests=[]), "both a manifest and an index"),
        (_document(mediaType=OCI_INDEX), "does not fit"),
        (_document(mediaType="application/json"), "does not fit"),
        (_document(config="absent"), "neither"),
        (_document(layers="absent"), "neither"),
        (_document(layers=[_ENTRY] * (MAX_DESCRIPTORS + 1)), "length"),
        (_document(config={**_ENTRY, "size": -1}), "size"),
        (_document(config={**_ENTRY, "size": 1 << 63}), "size"),
        (_document(config={**_ENTRY, "size": 1.5}), "size"),
        (_document(config={**_ENTRY, "digest": "sha256:12"}), "not a digest"),
        (_document(config={**_ENTRY, "digest": {"algorithm": "x", "hex": "y"}}), "digest"),
        (_document(annotations={"a": 1}), "annotations"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "more than"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"schemaVersion": 2, "x": ' + b"[" * 100_000, "recursion"),
        (b'{"schemaVersion": 2, "manifests": [], "mediaType": "\xff"}', "utf-8|UTF-8"),
    ],
)
def test_what_is_no_manifest(raw, reason):
    with pytest.raises(InvalidManifestError, match=reason):
        parse_manifest(raw)


@pytest.mark.parametrize(
    ("own", "given_type"),
    [(OCI_MANIFEST, DOCKER_MANIFEST), ("absent", OCI_INDEX), (OCI_MANIFEST, OCI_INDEX)],
)
def test_what_was_announced_as_something_else(own, given_type):
    with pytest.raises(InvalidManifestError, match="announced as"):
        parse_manifest(_document(mediaType=own), media_type=given_type)


def test_platforms_read_as_docker_writes_them():
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"
    assert str(Platform("linux", "amd64")) == "linux/amd64"
