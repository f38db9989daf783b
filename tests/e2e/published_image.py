"""An image in a registry as a client without a snapshotter sees it: plain HTTP requests and JSON."""

import http.client
import json
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from tests.e2e.ctr import CommandFailedError
from tests.e2e.oci_layout import Json

_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True)
class PublishedImage:
    """A single-platform image named host/repository:tag."""

    name: str

    @cached_property
    def manifest(self) -> Json:
        """Its manifest; of an index with one image, that image's."""
        found = self._get_json(f"manifests/{self._tag}")
        if "manifests" in found:
            found = self._get_json(f"manifests/{found['manifests'][0]['digest']}")
        return found

    @property
    def layer_digests(self) -> list[str]:
        """The digests of the layer blobs, lowest first."""
        return [layer["digest"] for layer in self.manifest["layers"]]

    @property
    def layer_bytes(self) -> int:
        """The sum of the sizes of the layer blobs."""
        return sum(layer["size"] for layer in self.manifest["layers"])

    @cached_property
    def diff_ids(self) -> list[str]:
        """The digests of the uncompressed layers, from the image's config."""
        config = self._get_json(f"blobs/{self.manifest['config']['digest']}")
        return cast("list[str]", config["rootfs"]["diff_ids"])

    def read_blob(self, digest: str) -> bytes:
        """Return a blob."""
        return self._request("GET", f"blobs/{digest}")

    def put_manifest(self, tag: str, manifest: Json) -> "PublishedImage":
        """Publish another manifest for the same blobs, and return that image."""
        body = json.dumps(manifest).encode()
        self._request("PUT", f"manifests/{tag}", body, {"Content-Type": manifest["mediaType"]})
        return PublishedImage(f"{self._host}/{self._repository}:{tag}")

    def through(self, host: str) -> str:
        """Return the name of this image behind another address of the same registry."""
        return f"{host}/{self._repository}:{self._tag}"

    @property
    def _host(self) -> str:
        return self.name.partition("/")[0]

    @property
    def _repository(self) -> str:
        return self.name.partition("/")[2].rpartition(":")[0]

    @property
    def _tag(self) -> str:
        return self.name.rpartition(":")[2]

    def _get_json(self, path: str) -> Json:
        return cast("Json", json.loads(self._request("GET", path, headers={"Accept": _ACCEPT})))

    def _request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request(method, f"/v2/{self._repository}/{path}", body, headers or {})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status not in (http.client.OK, http.client.CREATED):
            raise CommandFailedError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer
