"""Manifests and indexes: what an image is made of, in OCI's words and in docker's.

Both families have the same shape and differ in media types only. Parsing believes nothing: sizes, counts and the
document's own type are checked here, once. ``dump_manifest`` keeps what it was given, so that a converted image still
refers to its ``subject`` and says its ``artifactType``.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from registry.digest import Digest
from registry.errors import InvalidDigestError, InvalidManifestError

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD: Final = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_LAYER_FOREIGN: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})

MAX_MANIFEST_BYTES: Final = 4 << 20
MAX_DESCRIPTORS: Final = 1024
MAX_TEXT_CHARACTERS: Final = 64 << 10

_ALL_TYPES = MANIFEST_TYPES | INDEX_TYPES

_Bytes = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARACTERS)]
_Texts = Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_DESCRIPTORS)]
_Annotations = Annotated[dict[_Text, _Text], msgspec.Meta(max_length=MAX_DESCRIPTORS)]


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest's or index's bytes as stored, which alone have the digest."""

    data: bytes
    media_type: str
    digest: Digest


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an image of an index runs on."""

    os: _Text
    architecture: _Text
    variant: _Text = ""
    os_version: _Text = msgspec.field(default="", name="os.version")
    os_features: _Texts = msgspec.field(default=(), name="os.features")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A blob or manifest, by digest. Its size and type are claims until the bytes were checked."""

    media_type: _Text
    digest: Digest
    size: _Bytes
    annotations: _Annotations = {}
    urls: _Texts = ()
    platform: Platform | None = None
    artifact_type: _Text = ""
    data: _Text = ""


_Descriptors = Annotated[tuple[Descriptor, ...], msgspec.Meta(max_length=MAX_DESCRIPTORS)]


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image: its configuration and its layers, lowest first."""

    media_type: _Text
    config: Descriptor
    layers: _Descriptors
    annotations: _Annotations = {}
    subject: Descriptor | None = None
    artifact_type: _Text = ""


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Several images under one name, one for each platform."""

    media_type: _Text
    manifests: _Descriptors
    annotations: _Annotations = {}
    subject: Descriptor | None = None
    artifact_type: _Text = ""


def parse_manifest(raw: bytes, *, media_type: str | None = None) -> Manifest | Index:
    """Reads a manifest or an index.

    Args:
        raw: the bytes as stored.
        media_type: what the registry or the descriptor called it, if anything did. The document's own type must agree
            with it; where only one of them knows, that one counts.

    Raises:
        InvalidManifestError: it is too large, malformed, of an old schema, or contradicts the type it was given.
    """
    name = str(Digest.of(raw))
    if len(raw) > MAX_MANIFEST_BYTES:
        raise InvalidManifestError(name, f"it has more than {MAX_MANIFEST_BYTES} bytes")
    try:
        document = msgspec.json.decode(raw, type=dict[str, Any])
        document["mediaType"] = _decide_media_type(name, document, media_type)
        if document["mediaType"] in INDEX_TYPES:
            return msgspec.convert(document, type=Index, dec_hook=_decode_digest)
        return msgspec.convert(document, type=Manifest, dec_hook=_decode_digest)
    except (
        msgspec.DecodeError,
        msgspec.ValidationError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise InvalidManifestError(name, str(error)) from None


def dump_manifest(manifest: Manifest | Index) -> bytes:
    """The bytes of a manifest or an index: the same ones for equal values, with annotations sorted."""
    fields = msgspec.to_builtins(manifest, order="deterministic", enc_hook=_encode_digest)
    return msgspec.json.encode({"schemaVersion": 2, **fields})


def _decide_media_type(name: str, document: dict[str, Any], given: str | None) -> str:
    if document.get("schemaVersion") != 2:  # noqa: PLR2004 - the only one there is
        raise InvalidManifestError(name, "it is not of schema version 2")
    # One digest must not mean two images, whichever reader looks at it (CVE-2021-41190).
    is_index = "manifests" in document
    if is_index and ("layers" in document or "config" in document):
        raise InvalidManifestError(name, "it is both a manifest and an index")
    known = INDEX_TYPES if is_index else MANIFEST_TYPES
    claims = {
        claim for claim in (document.get("mediaType"), _essence(given)) if claim in _ALL_TYPES
    }
    if len(claims) > 1 or not claims <= known:
        raise InvalidManifestError(name, "its media type contradicts its content")
    own = document.get("mediaType")
    if own is not None and own not in known:
        raise InvalidManifestError(name, f"its media type {own!r} is not supported")
    return next(iter(claims), OCI_INDEX if is_index else OCI_MANIFEST)


def _essence(content_type: str | None) -> str:
    """A Content-Type without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def _decode_digest(kind: type, value: object) -> Digest:
    if kind is not Digest or not isinstance(value, str):
        raise TypeError(kind)
    try:
        return Digest.parse(value)
    except InvalidDigestError as error:
        raise ValueError(str(error)) from None


def _encode_digest(value: object) -> str:
    if not isinstance(value, Digest):
        raise TypeError(type(value))
    return str(value)
