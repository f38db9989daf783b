"""Images in layout directories, made of values: any media type, any number of platforms, any mistake."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.digest import Digest
from registry.images import ImageStore, LayoutImage, LayoutName
from registry.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The media types that belong together."""

    index: str
    manifest: str
    config: str
    layer: str


OCI = Family(index=OCI_INDEX, manifest=OCI_MANIFEST, config=OCI_CONFIG, layer=OCI_LAYER_GZIP)
DOCKER = Family(
    index=DOCKER_INDEX, manifest=DOCKER_MANIFEST, config=DOCKER_CONFIG, layer=DOCKER_LAYER_GZIP
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that is to be stored: by default its tar, compressed."""

    tar: bytes
    blob: bytes | None = None
    media_type: str | None = None
    diff_id: str | None = None
    extra: Json = field(default_factory=dict)

    @property
    def stored(self) -> bytes:
        """The blob's bytes."""
        return gzip.compress(self.tar, mtime=0) if self.blob is None else self.blob


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout directory under construction."""

    path: Path
    family: Family = OCI

    def add_blob(self, data: bytes) -> str:
        """Stores a blob; gives its digest."""
        digest = Digest.of(data)
        path = self.path / "blobs" / digest.algorithm / digest.hex
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(digest)

    def add_json(self, media_type: str, document: Json, **extra: object) -> Json:
        """Stores a document; gives its descriptor."""
        data = json.dumps(document, indent=3).encode()
        digest = self.add_blob(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **extra}

    def add_image(
        self,
        layers: Sequence[Layer],
        *,
        config: Json | None = None,
        manifest: Json | None = None,
        **extra: object,
    ) -> Json:
        """Stores an image; gives its manifest's descriptor. ``config`` and ``manifest`` add fields, or replace them."""
        diff_ids = [layer.diff_id or str(Digest.of(layer.tar)) for layer in layers]
        made_config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **(config or {}),
        }
        made_manifest = {
            "schemaVersion": 2,
            "mediaType": self.family.manifest,
            "config": self.add_json(self.family.config, made_config),
            "layers": [self._add_layer(layer) for layer in layers],
            **(manifest or {}),
        }
        return self.add_json(self.family.manifest, made_manifest, **extra)

    def add_index(self, children: Sequence[Json], **fields: object) -> Json:
        """Stores an index of images."""
        document = {
            "schemaVersion": 2,
            "mediaType": self.family.index,
            "manifests": list(children),
            **fields,
        }
        return self.add_json(self.family.index, document)

    def name(self, descriptor: Json) -> ImageStore:
        """Makes a descriptor the only image of the layout."""
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}
        (self.path / "index.json").write_text(json.dumps(index))
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return store(self.path)

    def _add_layer(self, layer: Layer) -> Json:
        return {
            "mediaType": layer.media_type or self.family.layer,
            "digest": self.add_blob(layer.stored),
            "size": len(layer.stored),
            **layer.extra,
        }


def store(path: Path) -> ImageStore:
    """The only image in a layout directory."""
    return LayoutImage(LayoutName(path))
