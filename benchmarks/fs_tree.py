"""What ``benchmarks.fs`` reads: a tree of many small files and a large one, as files, and as a layer in a registry."""

import random
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import trio

from estargz.layer_conversion import convert_layer
from estargz.planning import WriterOptions
from registry.client import ClientSettings, RegistryClient
from registry.digest import Digest
from registry.reference import Reference
from tests.real_registry import RealRegistry

_FILES_PER_DIRECTORY = 100
_PIECE_BYTES = 1 << 20
_REPOSITORY = "benchmark/fs"
BIG = "big"


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory and how much is in it. Contents are hexadecimal digits: they compress as text does."""

    root: Path
    small_files: int
    big_bytes: int

    def small(self, number: int) -> str:
        """The path of a small file, below the root."""
        directory, file = divmod(number, _FILES_PER_DIRECTORY)
        return f"small/{directory // 50:02}/{directory % 50:02}/file-{file:02}"


@dataclass(frozen=True, slots=True)
class RegistryLayer:
    """A layer as the fs server is told of it."""

    reference: str
    digest: Digest
    toc_digest: Digest


def make_tree(root: Path, *, small_files: int, big_bytes: int) -> Tree:
    """Writes the tree; small files have 1 to 6 KB."""
    choose = random.Random(1)  # noqa: S311 - the same tree every time
    tree = Tree(root, small_files, big_bytes)
    for number in range(small_files):
        path = root / tree.small(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_text(choose, choose.randrange(1000, 6000)))
    with (root / BIG).open("wb") as big:
        for _ in range(big_bytes // _PIECE_BYTES):
            big.write(_text(choose, _PIECE_BYTES))
    return tree


def push_tree(tree: Tree, registry: RealRegistry, work: Path) -> RegistryLayer:
    """Makes a layer of the tree, as the converter does."""
    tar, blob = work / "layer.tar", work / "layer.blob"
    with tarfile.open(tar, "w") as archive:
        archive.add(tree.root, arcname=".")
    with ThreadPoolExecutor() as pool:
        finished = convert_layer(
            tar, blob, WriterOptions(), pool=pool, window=8, report=lambda _: None
        )
    tar.unlink()
    layer = push_blob(blob, finished.digest, finished.toc_digest, registry)
    blob.unlink()
    return layer


def push_blob(
    blob: Path, digest: Digest, toc_digest: Digest, registry: RealRegistry
) -> RegistryLayer:
    """Puts a blob into the registry."""
    reference = f"{registry.host}/{_REPOSITORY}:1"

    async def push() -> None:
        async with RegistryClient(ClientSettings()) as client:
            await client.push_blob(Reference.parse(reference).repository_name, digest, blob)

    trio.run(push)
    return RegistryLayer(reference, digest, toc_digest)


def made_layers(
    count: int, *, files: int, registry: RealRegistry, work: Path
) -> Iterator[RegistryLayer]:
    """Layers of small files, each another."""
    for number in range(count):
        root = work / f"tree-{number}"
        tree = make_tree(root, small_files=files, big_bytes=0)
        (root / "number").write_text(str(number))
        yield push_tree(tree, registry, work)


def _text(choose: random.Random, size: int) -> bytes:
    return choose.randbytes(size // 2).hex().encode()
