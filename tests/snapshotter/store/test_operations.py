"""The directory as the kernel sees it: the adapter alone, and mounted."""

import base64
import errno
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pyfuse3
import pytest
import trio
from pyfuse3 import FileHandleT, FileNameT, FlagT, InodeT, ModeT

from fs.session import mounted
from registry.client import RegistryClient
from snapshotter.errors import FsServerError, LayerUnavailableError
from snapshotter.store.image import NoSuchLayerError
from snapshotter.store.layers import StoreLayers
from snapshotter.store.operations import StoreOperations, errno_of
from tests.e2e.leftovers import mounts_under
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import QUICK
from tests.snapshotter.store.images import PushedImage, push_image
from tests.snapshotter.store.test_layers import ABSENT, AMD64, Site

T = TypeVar("T")
CONTEXT = cast("pyfuse3.RequestContext", None)
WRITE = FlagT(os.O_WRONLY)
READ = FlagT(os.O_RDONLY)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def image(fake: FakeRegistry) -> PushedImage:
    return push_image(fake, [b"content"], plain=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.records:
        yield site


@pytest.fixture
async def operations(site: Site, tmp_path: Path) -> AsyncIterator[StoreOperations]:
    async with RegistryClient(QUICK) as client:
        layers = StoreLayers(client, site.server, site.records, AMD64)
        async with layers.kept_tidy():
            yield StoreOperations(layers, tmp_path)


def image_name(image: PushedImage) -> bytes:
    return base64.b64encode(str(image.reference).encode())


async def look_up(operations: StoreOperations, *names: bytes) -> InodeT:
    number = pyfuse3.ROOT_INODE
    for name in names:
        number = (await operations.lookup(number, FileNameT(name), CONTEXT)).st_ino
    return number


async def errno_from(call: Awaitable[object]) -> int:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await call
    return caught.value.errno


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (NoSuchLayerError("a", "b"), errno.ENOENT),
        (LayerUnavailableError("a", "b"), errno.EIO),
        (FsServerError("a"), errno.EIO),
        (OSError(), errno.EIO),
        (KeyError(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_have_their_errno(error: Exception, number: int | None) -> None:
    assert errno_of(error) == number


async def test_absent_names_may_be_remembered_for_a_moment(
    operations: StoreOperations, image: PushedImage
) -> None:
    name, digest = image_name(image), str(image.layers[0].digest).encode()
    absent = [(b"lost+found",), (name, b"diff"), (name, str(ABSENT).encode())]
    for names in [*absent, (name, digest, b"other")]:
        parent = await look_up(operations, *names[:-1])
        entry = await operations.lookup(parent, FileNameT(names[-1]), CONTEXT)
        assert (entry.st_ino, 0 < entry.entry_timeout < 10) == (0, True)
    layer = await look_up(operations, name, digest)
    assert await errno_from(operations.lookup(layer, FileNameT(b"use"), CONTEXT)) == errno.ENOENT


async def test_numbers_are_forgotten(operations: StoreOperations, image: PushedImage) -> None:
    number = await look_up(operations, image_name(image))
    assert (await operations.getattr(number, CONTEXT)).st_ino == number
    await operations.forget([(number, 1)])
    assert await errno_from(operations.getattr(number, CONTEXT)) == errno.EIO


async def test_nothing_else_can_be_done(operations: StoreOperations, image: PushedImage) -> None:
    digest = str(image.layers[0].digest).encode()
    folder = await look_up(operations, image_name(image))
    layer = await look_up(operations, image_name(image), digest)
    info = await look_up(operations, image_name(image), digest, b"info")
    name, use, mode = FileNameT(b"new"), FileNameT(b"use"), ModeT(0o600)
    for call in (
        operations.create(layer, name, mode, WRITE, CONTEXT),
        operations.create(folder, use, mode, WRITE, CONTEXT),
        operations.rmdir(layer, name, CONTEXT),
        operations.open(info, WRITE, CONTEXT),
    ):
        assert await errno_from(call) == errno.EROFS
    assert await errno_from(operations.open(layer, READ, CONTEXT)) == errno.EINVAL
    assert await errno_from(operations.readlink(layer, CONTEXT)) == errno.EINVAL
    assert await errno_from(operations.read(FileHandleT(-1), 0, 1)) == errno.EIO


class Mounted:
    """A mounted store, called as podman calls it."""

    def __init__(self, mountpoint: Path, image: PushedImage) -> None:
        self.image = mountpoint / image_name(image).decode()
        (self.layer,) = image.layers
        self.directory = self.image / str(self.layer.digest)

    async def do(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call)

    def use(self) -> None:
        with pytest.raises(FileNotFoundError):
            (self.directory / "use").open("w")

    def release(self) -> None:
        with pytest.raises(FileNotFoundError):
            self.directory.rmdir()


@pytest.fixture
async def store(
    operations: StoreOperations, image: PushedImage, tmp_path: Path
) -> AsyncIterator[Mounted]:
    async with mounted(operations, tmp_path / "mnt", ("fsname=test",)):
        yield Mounted(tmp_path / "mnt", image)
    assert mounts_under(tmp_path) == []


@pytest.mark.fuse
async def test_a_layers_directory(store: Mounted, site: Site) -> None:
    layer = store.layer
    site.server.put(layer.digest, {"file": "content"})
    by_toc = store.image / str(layer.toc_digest)

    def look() -> None:
        assert (store.directory / "diff" / "file").read_text() == "content"
        assert (store.directory / "diff").readlink() == site.root / "trees" / layer.digest.file_name
        assert (store.directory / "blob").stat().st_size == layer.blob_bytes
        assert layer.digest.matches((store.directory / "blob").read_bytes())
        info = store.directory / "info"
        assert json.loads(info.read_bytes())["diff-digest"] == str(layer.diff_id)
        assert info.stat().st_size == len(info.read_bytes())
        assert json.loads((by_toc / "info").read_bytes())["toc-digest"] == str(layer.toc_digest)
        assert (by_toc / "diff" / "file").read_text() == "content"
        assert [*store.image.iterdir(), *store.directory.iterdir()] == []
        assert (store.directory.stat().st_mode, info.stat().st_mode) == (0o40500, 0o100400)
        assert not (store.image / str(ABSENT) / "diff").exists()

    await store.do(look)
    assert len(site.server.attached) == 1


@pytest.mark.fuse
async def test_uses_are_counted_as_podman_tells_them(store: Mounted, site: Site) -> None:
    digest = store.layer.digest
    for call, uses in ((store.use, 1), (store.use, 2), (store.release, 1)):
        await store.do(call)
        assert site.records.uses(digest) == uses
    assert await store.do((store.directory / "diff").exists)
    await store.do(store.release)
    assert site.records.uses(digest) == 0


@pytest.mark.fuse
async def test_what_cannot_be_served_is_an_error_now_and_not_later(
    store: Mounted, site: Site
) -> None:
    site.server.unavailable.add(store.layer.digest)
    with pytest.raises(OSError, match="Input/output error"):
        await store.do((store.directory / "diff").stat)
    site.server.unavailable.clear()
    assert (await store.do((store.directory / "diff").stat)).st_ino
