"""Manifests and indexes: what an image is made of, in OCI's words and in docker's.

Both families have the same shape and differ in media types only. Parsing believes nothing: sizes, counts and the
document's own type are checked here, once. ``dump_manifest`` keeps what it was given, so that a converted image still
refers to its ``subject`` and says its ``artifactType``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

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

_SCHEMA_VERSION: Final = 2


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


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or manifest, by digest. Its size and type are claims until the bytes were checked."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()
    platform: Platform | None = None
    artifact_type: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its configuration and its layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """Several images under one name, one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""


class _Entry(msgspec.Struct, omit_defaults=True, rename="camel"):
    """A descriptor as written. Some writers put null for what they leave out."""

    media_type: _Text
    digest: _Text
    size: _Bytes
    artifact_type: _Text | None = None
    platform: Platform | None = None
    urls: _Texts | None = None
    annotations: _Annotations | None = None
    data: _Text | None = None


_Entries = Annotated[tuple[_Entry, ...], msgspec.Meta(max_length=MAX_DESCRIPTORS)]


class _Document(msgspec.Struct, omit_defaults=True, rename="camel"):
    """A manifest or an index as written, or a document that is neither or pretends to be both."""

    schema_version: int
    media_type: _Text | None = None
    artifact_type: _Text | None = None
    config: _Entry | msgspec.UnsetType = msgspec.UNSET
    layers: _Entries | msgspec.UnsetType = msgspec.UNSET
    manifests: _Entries | msgspec.UnsetType = msgspec.UNSET
    subject: _Entry | None = None
    annotations: _Annotations | None = None


def parse_manifest(raw: bytes, *, media_type: str | None = None) -> Manifest | Index:
    """Reads a manifest or an index.

    Args:
        raw: the bytes as stored.
        media_type: what the registry or the descriptor called it, if anything did. The document's own type must agree
            with it; where only one of them knows, that one counts.

    Raises:
        InvalidManifestError: it is too large, malformed, of an old schema, or contradicts the type it was given.
    """
    try:
        return _parse(raw, media_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidManifestError(str(Digest.of(raw)), str(error)) from None


def dump_manifest(manifest: Manifest | Index) -> bytes:
    """The bytes of a manifest or an index: the same ones for equal values, with annotations sorted."""
    document = _Document(
        schema_version=_SCHEMA_VERSION,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type or None,
        subject=None if manifest.subject is None else _write(manifest.subject),
        annotations=dict(manifest.annotations) or None,
    )
    if isinstance(manifest, Index):
        document.manifests = tuple(map(_write, manifest.manifests))
    else:
        document.config = _write(manifest.config)
        document.layers = tuple(map(_write, manifest.layers))
    return msgspec.json.encode(document, order="deterministic")


def _parse(raw: bytes, given: str | None) -> Manifest | Index:
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ValueError(f"it has more than {MAX_MANIFEST_BYTES} bytes")
    document = msgspec.json.decode(raw, type=_Document)
    if document.schema_version != _SCHEMA_VERSION:
        raise ValueError(
            f"it is of schema version {document.schema_version}, not {_SCHEMA_VERSION}"
        )
    media_type = _decide_media_type(document, given)
    subject = None if document.subject is None else _read(document.subject)
    annotations, artifact_type = document.annotations or {}, document.artifact_type or ""
    if document.manifests is not msgspec.UNSET:
        entries = tuple(map(_read, document.manifests))
        return Index(media_type, entries, annotations, subject, artifact_type)
    if document.config is msgspec.UNSET or document.layers is msgspec.UNSET:
        raise ValueError("it has neither config and layers nor manifests")
    layers = tuple(map(_read, document.layers))
    return Manifest(media_type, _read(document.config), layers, annotations, subject, artifact_type)


def _decide_media_type(document: _Document, given: str | None) -> str:
    is_index = document.manifests is not msgspec.UNSET
    # One digest must not mean two images, whichever reader looks at it (CVE-2021-41190).
    if is_index and (document.layers is not msgspec.UNSET or document.config is not msgspec.UNSET):
        raise ValueError("it is both a manifest and an index")
    known = INDEX_TYPES if is_index else MANIFEST_TYPES
    if document.media_type is not None and document.media_type not in known:
        raise ValueError(f"its media type {document.media_type!r} does not fit its content")
    claimed = _essence(given)
    if claimed in MANIFEST_TYPES | INDEX_TYPES and claimed != (document.media_type or claimed):
        raise ValueError(f"it was announced as {claimed!r} and says {document.media_type!r}")
    if claimed in known or document.media_type is not None:
        return document.media_type or claimed
    if claimed in MANIFEST_TYPES | INDEX_TYPES:
        raise ValueError(f"it was announced as {claimed!r}, which does not fit its content")
    return OCI_INDEX if is_index else OCI_MANIFEST


def _essence(content_type: str | None) -> str:
    """A Content-Type without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def _read(entry: _Entry) -> Descriptor:
    try:
        digest = Digest.parse(entry.digest)
    except InvalidDigestError as error:
        raise ValueError(str(error)) from None
    return Descriptor(
        media_type=entry.media_type,
        digest=digest,
        size=entry.size,
        annotations=entry.annotations or {},
        urls=entry.urls or (),
        platform=entry.platform,
        artifact_type=entry.artifact_type or "",
        data=entry.data or "",
    )


def _write(descriptor: Descriptor) -> _Entry:
    return _Entry(
        media_type=descriptor.media_type,
        digest=str(descriptor.digest),
        size=descriptor.size,
        artifact_type=descriptor.artifact_type or None,
        platform=descriptor.platform,
        urls=descriptor.urls or None,
        annotations=dict(descriptor.annotations) or None,
        data=descriptor.data or None,
    )
