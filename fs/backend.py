"""Choosing who shows layers, the kernel or this process, and keeping it up for the time that the server runs."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from fs.ending import Ending
from fs.erofs.data_connection import DataConnection, connect, disconnect
from fs.erofs.data_directory import node_of
from fs.erofs.data_server import DataServer
from fs.erofs.kept_connection import held_by_keeper
from fs.erofs.mounts import Access, probe
from fs.erofs.trees import ErofsTrees, unmount_trees
from fs.errors import StaleLayerError, StartError
from fs.layer import Layer
from fs.layer_directory import LayerDirectories
from fs.layer_trees import FuseTrees, LayerTrees
from fs.layers import LayerTable
from fs.settings import Backend

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a former process may have left.

    Attributes:
        root: the fs server's directory, with mounts in it.
        held: descriptors that the service manager held.
    """

    root: Path
    held: tuple[int, ...] = ()


@asynccontextmanager
async def shown_layers(
    backend: Backend,
    layers: LayerTable,
    directories: LayerDirectories,
    *,
    left: Inheritance,
    fuse: FuseTrees,
    ending: Ending,
) -> AsyncIterator[LayerTrees]:
    """What shows layers, for the time of a ``with`` block.

    Args:
        backend: which one is wanted.
        layers: what is shown.
        directories: where layers are kept.
        left: what a former process left; whatever can be gone on with is.
        fuse: the backend of this process.
        ending: whether mounts are to be left, at the end.

    Raises:
        StartError: the backend that is wanted is not to be had.
        MountError: the kernel does not mount what the probe says it does, or does not let go of what was mounted.
        OSError: the disk is full or broken.
    """
    root = left.root
    access = await trio.to_thread.run_sync(_choose, backend, root)
    if access is None:
        await trio.to_thread.run_sync(_clear, left)
        yield fuse
        return
    layers.show_by_erofs()
    connection = await trio.to_thread.run_sync(connect, root, left.held)
    try:
        async with _serving(connection, layers, directories) as server:
            trees = ErofsTrees(root, layers, directories, server, access=access, fallback=fuse)
            try:
                async with (
                    held_by_keeper(root, connection, await server.wait_negotiated()),
                    trees.kept_up(is_served=connection.negotiated is not None),
                ):
                    yield trees
            finally:
                if ending.takes_mounts_away:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(trees.unmount_all)
                        await trio.to_thread.run_sync(disconnect, root)
    finally:
        os.close(connection.descriptor)


@asynccontextmanager
async def _serving(
    connection: DataConnection, layers: LayerTable, directories: LayerDirectories
) -> AsyncIterator[DataServer]:
    """The data server, on a connection that the next process can take over."""

    async def find(node: int) -> Layer:
        for digest in await trio.to_thread.run_sync(directories.kept):
            if node_of(digest) == node:
                return await layers.find(digest.file_name.encode())
        raise StaleLayerError(f"with node {node}")

    async with DataServer(
        connection.descriptor, negotiated=connection.negotiated, find=find
    ) as server:
        yield server


def _choose(backend: Backend, root: Path) -> Access | None:
    """How the kernel shows layers; None if this process does."""
    if backend is Backend.FUSE:
        return None
    found = probe(root)
    if isinstance(found, Access):
        _log.info("layers are shown by EROFS", extra={"fields": {"images": found.value}})
        return found
    if backend is Backend.AUTO:
        _log.warning("layers are shown by FUSE", extra={"fields": {"reason": found}})
        return None
    raise StartError(f'backend erofs cannot be used here: {found}; set backend = "fuse"')


def _clear(left: Inheritance) -> None:
    """Takes away what the other backend left mounted."""
    for descriptor in left.held:
        os.close(descriptor)
    unmount_trees(left.root)
    disconnect(left.root)
