"""Writing OCI image layout directories, and pushing them to a registry as they are.

Small on purpose, and independent of the project's own code: what it writes is the input that code is tested with.
"""

import gzip
import hashlib
import http.client
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from tests.e2e.ctr import CommandFailedError, run_command

TAG = "latest"
_CREATED = "2024-01-01T00:00:00Z"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """One layer in a layout: its descriptor, the digest of its tar, and the tar's size."""

    descriptor: Json
    diff_id: str
    tar_bytes: int


class _HashingFile:
    """Counts and hashes what passes on its way to a file."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self.size += len(data)
        return self._target.write(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._target.flush()

    @property
    def hex_digest(self) -> str:
        return self._sha256.hexdigest()


def write_layer(layout: Path, fill: Callable[[tarfile.TarFile], None]) -> WrittenLayer:
    """Write one tar.gz blob into a layout; `fill` adds the members, in their order."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    unfinished = blobs / "unfinished"
    with unfinished.open("wb") as file:
        blob = _HashingFile(file)
        with gzip.GzipFile("", "wb", 6, cast("BinaryIO", blob), mtime=0) as zipped:
            tar_file = _HashingFile(cast("BinaryIO", zipped))
            target = cast("BinaryIO", tar_file)
            with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
                fill(tar)
    unfinished.rename(blobs / blob.hex_digest)
    return WrittenLayer(
        descriptor={"mediaType": _LAYER, "digest": f"sha256:{blob.hex_digest}", "size": blob.size},
        diff_id=f"sha256:{tar_file.hex_digest}",
        tar_bytes=tar_file.size,
    )


def write_image(layout: Path, layers: Sequence[WrittenLayer], process: Json) -> None:
    """Finish a layout: config (with `process` as its run settings), manifest, index."""
    architecture = run_command(["dpkg", "--print-architecture"]).strip()  # Debian's names are Go's
    config = {
        "created": _CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [
            {"created": _CREATED, "created_by": f"layer {n}"} for n, _ in enumerate(layers)
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _write_blob(layout, _CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
    }
    descriptor = {
        **_write_blob(layout, _MANIFEST, manifest),
        "annotations": {"org.opencontainers.image.ref.name": TAG},
    }
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    (layout / "oci-layout").write_bytes(_dump({"imageLayoutVersion": "1.0.0"}))
    (layout / "index.json").write_bytes(_dump(index))


def read_blob(layout: Path, digest: str) -> bytes:
    """Return the bytes of one blob of a layout."""
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def read_manifest(layout: Path) -> Json:
    """Return the manifest of a layout's only image."""
    index = json.loads((layout / "index.json").read_bytes())
    return cast("Json", json.loads(read_blob(layout, index["manifests"][0]["digest"])))


def push(layout: Path, host: str, repository: str, tag: str = TAG) -> str:
    """Push a layout's image to a registry over plain HTTP; return the image's name there.

    Raises:
        CommandFailedError: The registry refused something.
    """
    manifest = read_manifest(layout)
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        for descriptor in (manifest["config"], *manifest["layers"]):
            _push_blob(connection, repository, descriptor["digest"], layout)
        raw = read_blob(
            layout, json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
        )
        path = f"/v2/{repository}/manifests/{tag}"
        _request(connection, "PUT", path, raw, {"Content-Type": manifest["mediaType"]})
    finally:
        connection.close()
    return f"{host}/{repository}:{tag}"


def _push_blob(
    connection: http.client.HTTPConnection, repository: str, digest: str, layout: Path
) -> None:
    location = _request(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"", {})
    path = location[location.index("/v2/") :]
    separator = "&" if "?" in path else "?"
    headers = {"Content-Type": "application/octet-stream"}
    data = read_blob(layout, digest)
    _request(connection, "PUT", f"{path}{separator}digest={digest}", data, headers)


def _request(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> str:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status not in (http.client.CREATED, http.client.ACCEPTED):
        raise CommandFailedError(f"{method} {path}: {response.status} {answer[:500]!r}")
    return response.headers["Location"]


def _write_blob(layout: Path, media_type: str, value: Json) -> Json:
    data = _dump(value)
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
