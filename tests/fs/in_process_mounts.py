"""Real mounts of a layer table that is in the test's own process: read through them in threads only."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from fs.erofs.data_connection import connect, disconnect
from fs.erofs.data_server import DataServer
from fs.erofs.mounts import Access
from fs.erofs.trees import ErofsTrees
from fs.errors import StaleLayerError
from fs.layer import Layer
from fs.layer_trees import FuseTrees, LayerTrees
from fs.layers import LayerTable
from fs.operations import LayerOperations
from fs.session import mounted
from fs.settings import Backend


async def no_layer(node: int) -> Layer:
    raise StaleLayerError(f"with node {node}")


@asynccontextmanager
async def fuse_trees(table: LayerTable, root: Path) -> AsyncIterator[FuseTrees]:
    """The layers of a table in the one FUSE mount that a process can have."""
    mountpoint = root / "mnt"
    async with mounted(LayerOperations(table), mountpoint):
        yield FuseTrees(mountpoint)


@asynccontextmanager
async def erofs_trees(table: LayerTable, root: Path) -> AsyncIterator[ErofsTrees]:
    """The layers of a table, kept in ``<root>/layers``, in EROFS mounts on a data server that nobody can succeed."""
    connection = await trio.to_thread.run_sync(connect, root)
    try:
        async with DataServer(connection.descriptor, negotiated=None, find=no_layer) as server:
            trees = ErofsTrees(
                root,
                table,
                table._directories,
                server,
                access=Access.FILES,
                fallback=FuseTrees(root / "mnt"),
            )
            try:
                async with trees.kept_up(is_served=False):
                    yield trees
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(trees.unmount_all)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(disconnect, root)
        os.close(connection.descriptor)


TREES: dict[Backend, Callable[[LayerTable, Path], AbstractAsyncContextManager[LayerTrees]]] = {
    Backend.FUSE: fuse_trees,
    Backend.EROFS: erofs_trees,
}


async def read(path: Path) -> bytes:
    """A file of a mount, which this process serves: a read that never ends is left behind when it is cancelled."""
    return await trio.to_thread.run_sync(path.read_bytes, abandon_on_cancel=True)
