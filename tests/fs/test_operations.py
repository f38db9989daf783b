"""The adapter alone: handlers called as pyfuse3 calls them, answers and errno looked at."""

import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import cast

import pyfuse3
import pytest
from pyfuse3 import FileNameT, FlagT, InodeT, XAttrNameT

from fs.compiling import OPAQUE_XATTR
from fs.layers import LayerTable
from fs.operations import LayerOperations, ReadSettings
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import layer_table, push
from tests.fs.layers_by_hand import HandmadeBlob, entry

CONTEXT = cast("pyfuse3.RequestContext", None)
READ_ONLY = FlagT(os.O_RDONLY)


class Mounted:
    """The operations over one attached layer."""

    def __init__(self, operations: LayerOperations, fake: FakeRegistry, name: bytes) -> None:
        self.operations = operations
        self.fake = fake
        self.name = FileNameT(name)

    async def inode(self, path: str = "") -> InodeT:
        found = await self.operations.lookup(pyfuse3.ROOT_INODE, self.name, CONTEXT)
        for part in path.encode().split(b"/") if path else []:
            found = await self.operations.lookup(found.st_ino, FileNameT(part), CONTEXT)
        return found.st_ino


@pytest.fixture
async def mounted(tmp_path: Path) -> AsyncIterator[Mounted]:
    blob = HandmadeBlob()
    blob.add_file("dir/file", b"content", mode=0o600)
    blob.entries += [entry("link", "symlink", link_name="to"), entry("dir/.wh..wh..opq")]
    with FakeRegistry() as fake:
        async with layer_table(tmp_path) as table:
            source = push(blob, fake)
            await table.attach(source)
            operations = LayerOperations(table, ReadSettings(deadline_seconds=0.2))
            yield Mounted(operations, fake, source.digest.file_name.encode())


async def errno_from(call: Awaitable[object]) -> int:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await call
    return caught.value.errno


async def test_names_and_attributes_may_be_kept_for_ever(mounted: Mounted) -> None:
    attributes = await mounted.operations.getattr(await mounted.inode("dir/file"), CONTEXT)
    assert (attributes.st_mode, attributes.st_size) == (stat.S_IFREG | 0o600, 7)
    assert min(attributes.entry_timeout, attributes.attr_timeout) > 10**8


async def test_absent_names_may_be_kept_too_but_not_in_the_mounts_root(mounted: Mounted) -> None:
    inside = await mounted.operations.lookup(await mounted.inode(), FileNameT(b"no"), CONTEXT)
    assert inside.st_ino == 0
    assert inside.entry_timeout > 10**8
    outside = mounted.operations.lookup(pyfuse3.ROOT_INODE, FileNameT(b"no"), CONTEXT)
    assert await errno_from(outside) == errno.ENOENT


async def test_content_is_read_through_an_open_file(mounted: Mounted) -> None:
    info = await mounted.operations.open(await mounted.inode("dir/file"), READ_ONLY, CONTEXT)
    assert info.keep_cache
    assert await mounted.operations.read(info.fh, 3, 100) == b"tent"
    await mounted.operations.release(info.fh)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR])
async def test_nothing_opens_for_writing(mounted: Mounted, flags: int) -> None:
    opened = mounted.operations.open(await mounted.inode("dir/file"), FlagT(flags), CONTEXT)
    assert await errno_from(opened) == errno.EROFS


async def test_links_and_attributes(mounted: Mounted) -> None:
    link, directory = await mounted.inode("link"), await mounted.inode("dir")
    assert await mounted.operations.readlink(link, CONTEXT) == b"to"
    assert await errno_from(mounted.operations.readlink(directory, CONTEXT)) == errno.EINVAL
    assert await mounted.operations.listxattr(directory, CONTEXT) == [OPAQUE_XATTR]
    opaque = XAttrNameT(OPAQUE_XATTR)
    assert await mounted.operations.getxattr(directory, opaque, CONTEXT) == b"y"
    assert await errno_from(mounted.operations.getxattr(link, opaque, CONTEXT)) == errno.ENODATA
    for inode in (pyfuse3.ROOT_INODE, await mounted.inode(".stargz-snapshotter")):
        assert await mounted.operations.listxattr(inode, CONTEXT) == []


async def test_a_read_that_waits_too_long_fails(mounted: Mounted) -> None:
    info = await mounted.operations.open(await mounted.inode("dir/file"), READ_ONLY, CONTEXT)
    mounted.fake.faults.inject(Fault.STALLED)
    try:
        assert await errno_from(mounted.operations.read(info.fh, 0, 7)) == errno.EIO
    finally:
        mounted.fake.faults.clear()


async def test_inodes_of_no_layer_are_stale(mounted: Mounted) -> None:
    stale = InodeT(77 << 32 | 1)
    assert await errno_from(mounted.operations.getattr(stale, CONTEXT)) == errno.ESTALE


async def test_a_bug_is_an_io_error_with_a_traceback_not_the_end(
    mounted: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    beyond = InodeT((await mounted.inode()) + 10_000)
    assert await errno_from(mounted.operations.getattr(beyond, CONTEXT)) == errno.EIO
    assert "bug: unforeseen error in getattr" in caplog.text
    assert "IndexError" in caplog.text


async def test_the_state_directory_is_there_but_not_listed(mounted: Mounted) -> None:
    root = await mounted.inode()
    state = await mounted.inode(".stargz-snapshotter")
    assert state not in {entry.st_ino for _, entry in mounted.operations._listing(root, 0)}
    ((name, entry),) = mounted.operations._listing(state, 0)
    file = entry.st_ino
    assert name.startswith(b"sha256:")
    attributes = await mounted.operations.getattr(file, CONTEXT)
    assert attributes.attr_timeout == 0
    info = await mounted.operations.open(file, READ_ONLY, CONTEXT)
    assert len(await mounted.operations.read(info.fh, 0, 1000)) == attributes.st_size
    await mounted.operations.release(info.fh)
    wrong = mounted.operations.lookup(state, FileNameT(b"other.json"), CONTEXT)
    assert await errno_from(wrong) == errno.ENOENT


async def test_directories_are_listed_with_their_dots(mounted: Mounted) -> None:
    directory = await mounted.inode("dir")
    for first in range(4):
        names = [name for name, _ in mounted.operations._listing(directory, first)]
        assert names == [b".", b"..", b"file"][first:]
    handle = await mounted.operations.opendir(pyfuse3.ROOT_INODE, CONTEXT)
    await mounted.operations.releasedir(handle)


async def test_the_file_system_tells_its_size(mounted: Mounted, tmp_path: Path) -> None:
    data = await mounted.operations.statfs(CONTEXT)
    assert (data.f_bsize, data.f_bfree, data.f_namemax) == (4096, 0, 255)
    assert isinstance(mounted.operations._layers, LayerTable)
