"""A layer table in the test's own process, in front of the fake registry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fs.cache_usage import CacheSettings
from fs.filling import FillSettings
from fs.inodes import ROOT
from fs.layer import Layer
from fs.layer_directory import LayerDirectories
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from fs.request_planning import FetchSettings
from fs.request_slots import SlotSettings
from registry.client import ClientSettings, RegistryClient
from registry.host_settings import HostSettings
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry
from tests.fs.layers_by_hand import HandmadeBlob

QUICK = ClientSettings(backoff_seconds=0.0001, max_backoff_seconds=0.001)
NOTHING_UNASKED = FillSettings(prefetch=False, background=False)
UNBOUNDED = CacheSettings(max_bytes=1 << 40)
REPOSITORY = "test/image"
CONTENT = bytes(range(256)) * 64


@asynccontextmanager
async def layer_table(
    root: Path,
    *,
    filling: FillSettings = NOTHING_UNASKED,
    fetching: FetchSettings | None = None,
    caching: CacheSettings = UNBOUNDED,
    slots: SlotSettings | None = None,
    client_settings: ClientSettings = QUICK,
) -> AsyncIterator[LayerTable]:
    async with (
        RegistryClient(client_settings) as client,
        LayerTable(
            client,
            LayerDirectories(root),
            filling=filling,
            fetching=fetching,
            caching=caching,
            slots=slots,
        ) as table,
    ):
        yield table


async def read_file(layer: Layer, name: bytes = b"file") -> bytes:
    """A whole file of the layer's root directory."""
    index = layer.image.inodes.lookup(ROOT, name)
    return await layer.read(index, offset=0, size=1 << 30)


def push(blob: HandmadeBlob, fake: FakeRegistry) -> LayerSource:
    """Puts a finished blob into the registry."""
    toc_digest = blob.finish()
    digest = fake.add_blob(REPOSITORY, bytes(blob.data))
    return LayerSource(Reference.parse(f"{fake.host}/{REPOSITORY}:1"), digest, toc_digest)


def mirrored(config_path: Path, fake: FakeRegistry, mirror: FakeRegistry) -> HostSettings:
    """Settings by which a registry has a mirror."""
    directory = config_path / fake.host
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(f'[host."http://{mirror.host}"]\n')
    return HostSettings((config_path,))
