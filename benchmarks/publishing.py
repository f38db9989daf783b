"""A registry that keeps what benchmarks pull: each image as it is built, converted, and optimized for each workload."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.images import Recipe
from benchmarks.workloads import Line, Workload
from tests.e2e.containerd import Containerd
from tests.e2e.layered_tree import BuiltImage
from tests.e2e.oci_layout import push
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import run_cli
from tests.real_registry import RealRegistry

_CONVERSION_SECONDS = 1800.0
_SERVER_SAMPLE_SECONDS = 8
_WORTH_REPORTING = ("recorded", "left out")


class Variant(StrEnum):
    """How an image was made."""

    PLAIN = "plain"
    UNOPTIMIZED = "unoptimized"
    OPTIMIZED = "optimized"


@dataclass(frozen=True)
class Published:
    """An image in a registry, by the name it has without a network in between.

    Attributes:
        image: the image.
        storage: where the registry keeps its content.
    """

    image: PublishedImage
    storage: Path

    @property
    def host(self) -> str:
        """The registry's ``host:port``."""
        return self.image.name.partition("/")[0]

    @cached_property
    def layer_bytes(self) -> dict[str, int]:
        """The sizes of its layers, compressed, by digest."""
        return {layer["digest"]: layer["size"] for layer in self.image.manifest["layers"]}

    def blob_paths(self) -> list[Path]:
        """The files that the registry keeps its layers in."""
        blobs = self.storage / "docker/registry/v2/blobs/sha256"
        digests = [digest.partition(":")[2] for digest in self.layer_bytes]
        return [blobs / digest[:2] / digest / "data" for digest in digests]


class Publisher:
    """A running registry, filled on demand; a context manager. What was published is kept in ``cache``.

    Args:
        cache: where images and the registry's content are kept.
        recipes: what can be built.
        report: is told what is being made, because it takes long.
    """

    def __init__(
        self, cache: Path, recipes: dict[str, Recipe], report: Callable[[str], None]
    ) -> None:
        self._cache = cache.resolve()
        self._cache.mkdir(parents=True, exist_ok=True)
        self._recipes = recipes
        self._report = report
        self._registry = RealRegistry(self._cache)

    def __enter__(self) -> Self:
        self._registry.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._registry.__exit__(kind, error, traceback)

    @property
    def host(self) -> str:
        """The registry's ``host:port``."""
        return self._registry.host

    def publish(self, workload: Workload, variant: Variant) -> Published:
        """An image for a workload; made if it is not there yet.

        Raises:
            CommandFailedError: it cannot be built, converted or run.
        """
        if not self._recipes[workload.image].is_built(self._cache):
            self._report(f"building {workload.image}")
        built = self._recipes[workload.image].build(self._cache)
        key = built.layout.name.rpartition("-")[2]
        tag = f"{key}-{variant}"
        if variant is Variant.OPTIMIZED:
            tag += f"-{workload.name}"
        if not self._has(workload.image, tag):
            self._report(f"publishing {workload.image}:{tag}")
            self._make(built, workload, variant, tag)
        image = PublishedImage(f"{self.host}/{workload.image}:{tag}")
        return Published(image, self._registry.storage)

    def _make(self, built: BuiltImage, workload: Workload, variant: Variant, tag: str) -> None:
        name = f"{self.host}/{workload.image}:{tag}"
        match variant:
            case Variant.PLAIN:
                push(built.layout, self.host, workload.image, tag)
            case Variant.UNOPTIMIZED:
                source = f"oci:{built.layout}"
                run_cli("convert", source, name, timeout_seconds=_CONVERSION_SECONDS)
            case Variant.OPTIMIZED:
                plain = self.publish(workload, Variant.PLAIN)
                self._optimize(plain.image.name, name, workload)

    def _optimize(self, source: str, target: str, workload: Workload) -> None:
        if isinstance(workload.ready, Line):
            words = ["--wait-on-line", workload.ready.text, "--period", "120"]
        else:
            words = ["--period", str(_SERVER_SAMPLE_SECONDS)]
        with Containerd() as containerd:
            words += ["--containerd-address", str(containerd.socket), source, target]
            said = run_cli(
                "optimize", *words, "--", *workload.argv, timeout_seconds=_CONVERSION_SECONDS
            )
        for line in said.splitlines():
            if line.startswith(_WORTH_REPORTING):
                self._report(line)

    def _has(self, repository: str, tag: str) -> bool:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
            connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
