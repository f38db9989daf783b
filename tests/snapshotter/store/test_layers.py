"""Layers are found with few requests, served while they are used, and let go afterwards."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import ContentError
from registry.manifest import Platform
from snapshotter.errors import FsServerError, LayerUnavailableError, RecordsError
from snapshotter.store.image import NoSuchLayerError
from snapshotter.store.layers import StoreLayers, StoreSettings
from snapshotter.store.records import StoreRecords
from tests.fakes.layer_server import FakeLayerServer
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import QUICK
from tests.snapshotter.store.images import PushedImage, push_image

AMD64 = Platform("linux", "amd64")
ABSENT = Digest.of(b"absent")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def image(fake: FakeRegistry) -> PushedImage:
    return push_image(fake, [b"one", b"two"], plain=1)


def open_files(directory: Path) -> list[str]:
    """The files without a name that this process has open in a directory."""
    targets = [
        str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
    ]
    return [name for name in targets if name.startswith(f"{directory}/#")]


class Site:
    """A store's layers, and what they are made of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = FakeLayerServer(root / "trees")
        self.records = StoreRecords(root / "store.db")

    @asynccontextmanager
    async def opened(self, settings: StoreSettings | None = None) -> AsyncIterator[StoreLayers]:
        async with RegistryClient(QUICK) as client:
            layers = StoreLayers(client, self.server, self.records, AMD64, settings)
            async with layers.kept_tidy():
                yield layers


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.records:
        yield site


async def test_an_image_is_asked_for_once(
    fake: FakeRegistry, image: PushedImage, site: Site
) -> None:
    async with site.opened() as layers:
        for layer in image.layers:
            assert await layers.find(image.reference, layer.digest) == layer
            assert await layers.find(image.reference, layer.toc_digest) == layer
        for _ in range(3):
            with pytest.raises(NoSuchLayerError, match="no such lazy layer"):
                await layers.find(image.reference, ABSENT)
    assert [record.kind for record in fake.requests] == ["manifest", "blob"]


async def test_an_image_that_is_not_lazy_costs_one_request(fake: FakeRegistry, site: Site) -> None:
    image = push_image(fake, [], plain=3)
    async with site.opened() as layers, trio.open_nursery() as nursery:

        async def look() -> None:
            with pytest.raises(NoSuchLayerError):
                await layers.find(image.reference, ABSENT)

        for _ in range(5):
            nursery.start_soon(look)
    assert [record.kind for record in fake.requests] == ["manifest"]


async def test_an_image_that_cannot_be_had_is_asked_for_again_later(
    fake: FakeRegistry, image: PushedImage, site: Site
) -> None:
    gone = replace(image.reference, tag="gone")
    async with site.opened(StoreSettings(answer_seconds=60)) as layers:
        for _ in range(3):
            with pytest.raises(LayerUnavailableError, match="gone"):
                await layers.find(gone, image.layers[0].digest)
    assert fake.count("manifest") == 1
    async with site.opened(StoreSettings(answer_seconds=0)) as layers:
        with pytest.raises(LayerUnavailableError):
            await layers.find(gone, image.layers[0].digest)
        moved = push_image(fake, [b"three"], tag="gone")
        assert await layers.find(gone, moved.layers[0].digest) == moved.layers[0]


async def test_a_silent_registry_is_not_waited_for(
    fake: FakeRegistry, image: PushedImage, site: Site
) -> None:
    fake.faults.inject(Fault.STALLED, times=50)
    async with site.opened(StoreSettings(image_seconds=0.05)) as layers:
        with pytest.raises(LayerUnavailableError, match="does not answer"):
            await layers.find(image.reference, image.layers[0].digest)


async def test_who_attaches_a_layer_names_its_neighbours(image: PushedImage, site: Site) -> None:
    first, second = image.layers
    async with site.opened() as layers:
        found = await layers.find(image.reference, first.digest)
        paths = {await layers.attach(found) for _ in range(3)}
    assert paths == {site.root / "trees" / first.digest.file_name}
    (source,) = site.server.attached
    assert (source.toc_digest, source.neighbours) == (first.toc_digest, (second.digest,))


async def test_a_layer_that_cannot_be_served_is_tried_again(image: PushedImage, site: Site) -> None:
    layer = image.layers[0]
    site.server.unavailable.add(layer.digest)
    async with site.opened() as layers:
        with pytest.raises(LayerUnavailableError):
            await layers.attach(layer)
        site.server.unavailable.clear()
        await layers.attach(layer)
        assert site.server.served().keys() == {layer.digest}
        assert site.records.digests() == {layer.digest: 0}


async def test_the_last_release_lets_go(image: PushedImage, site: Site) -> None:
    first, second = image.layers
    elsewhere = replace(first, reference=replace(image.reference, tag="2"))
    async with site.opened() as layers:
        for layer in (first, second, elsewhere):
            await layers.attach(layer)
            await layers.use(layer)
        await layers.release(first)
        await layers.release(second)
    assert site.server.served().keys() == {first.digest}
    assert site.records.digests() == {first.digest: 1}
    async with site.opened() as layers:
        await layers.release(elsewhere)
    assert site.server.served() == {}
    assert site.records.digests() == {}


async def test_an_image_that_was_let_go_is_found_again_at_once(
    image: PushedImage, site: Site
) -> None:
    (layer, _) = image.layers
    async with site.opened(StoreSettings(answer_seconds=60, unused_seconds=0)) as layers:
        await layers.attach(await layers.find(image.reference, layer.digest))
        await layers.tidy()
        assert site.records.digests() == {}
        assert await layers.find(image.reference, layer.digest) == layer


async def test_a_restart_keeps_what_is_used_and_asks_nobody(
    fake: FakeRegistry, image: PushedImage, site: Site
) -> None:
    used, unused = image.layers
    async with site.opened() as layers:
        for layer in image.layers:
            await layers.attach(await layers.find(image.reference, layer.digest))
        await layers.use(used)
    asked = len(fake.requests)
    async with site.opened() as layers:
        assert site.server.served().keys() == {used.digest}
        assert await layers.find(image.reference, used.digest) == used
    assert len(fake.requests) == asked
    assert unused.digest not in site.records.digests()


async def test_what_is_looked_at_and_never_used_goes_in_time(
    image: PushedImage, site: Site, mock_clock: MockClock
) -> None:
    used, unused = image.layers
    async with site.opened() as layers:
        for layer in image.layers:
            await layers.attach(await layers.find(image.reference, layer.digest))
        await layers.use(used)
        await layers.tidy()
        assert len(site.server.served()) == 2
        mock_clock.jump(60)
        await layers.find(image.reference, unused.digest)
        mock_clock.jump(61)
        await layers.tidy()
        assert len(site.server.served()) == 2
        mock_clock.jump(121)
        await layers.tidy()
        assert site.server.served().keys() == {used.digest}


async def test_what_cannot_be_let_go_is_let_go_later(
    image: PushedImage, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    layer = image.layers[0]
    async with site.opened() as layers:
        await layers.attach(layer)
        await layers.use(layer)
        site.server.gone = True
        await layers.release(layer)
    assert "layer cannot be released yet" in caplog.text
    with pytest.RaisesGroup(FsServerError):
        async with site.opened():
            pass
    site.server.gone = False
    async with site.opened():
        assert site.server.served() == {}
    assert site.records.digests() == {}


async def test_a_broken_database_does_not_end_the_store(
    site: Site, image: PushedImage, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with site.opened() as layers:
        site.records._connection.execute("DROP TABLE layers")
        await wait_all_tasks_blocked()  # it sleeps until it is time
        mock_clock.jump(121)
        while "unused layers are kept" not in caplog.text:
            await trio.lowlevel.checkpoint()
        with pytest.raises(RecordsError):
            await layers.find(image.reference, ABSENT)


async def test_a_blob_comes_whole_and_verified(
    fake: FakeRegistry, image: PushedImage, site: Site, tmp_path: Path
) -> None:
    layer = image.layers[0]
    async with site.opened() as layers:
        descriptor = await layers.fetch_blob(layer, tmp_path)
        data = os.pread(descriptor, 1 << 20, 0)
        assert len(open_files(tmp_path)) == 1
        os.close(descriptor)
        assert layer.digest.matches(data)
        for wrong in (
            replace(layer, blob_bytes=layer.blob_bytes + 1),
            replace(layer, blob_bytes=1),
            replace(layer, digest=ABSENT),
        ):
            with pytest.raises(ContentError):
                await layers.fetch_blob(wrong, tmp_path)
        fake.faults.inject(Fault.WRONG_BYTES, times=50)
        with pytest.raises(ContentError, match="another size or digest"):
            await layers.fetch_blob(layer, tmp_path)
    assert open_files(tmp_path) == []
