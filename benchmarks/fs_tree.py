"""What ``benchmarks.fs`` reads: a tree of many small files and a large one, as files, and as a layer in a registry."""

import io
import json
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
    tar = work / "layer.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(tree.root, arcname=".")
    return _push_tar(tar, registry)


def kept_tree(
    work: Path, registry: RealRegistry, *, small_files: int, big_bytes: int
) -> tuple[Tree, RegistryLayer]:
    """The tree and its layer, made if an earlier run has not left them in these directories."""
    record = work / "layer.json"
    wanted = {"small_files": small_files, "big_bytes": big_bytes}
    if record.exists() and (known := json.loads(record.read_text()))["tree"] == wanted:
        digests = (Digest.parse(known[name]) for name in ("digest", "toc_digest"))
        tree = Tree(work / "tree", small_files, big_bytes)
        return tree, RegistryLayer(_reference(registry), *digests)
    tree = make_tree(work / "tree", small_files=small_files, big_bytes=big_bytes)
    layer = push_tree(tree, registry, work)
    told = {"tree": wanted, "digest": str(layer.digest), "toc_digest": str(layer.toc_digest)}
    record.write_text(json.dumps(told))
    return tree, layer


def made_layers(
    count: int, *, files: int, registry: RealRegistry, work: Path
) -> Iterator[RegistryLayer]:
    """Layers of many tiny files, each another."""
    for number in range(count):
        tar = work / "layer.tar"
        with tarfile.open(tar, "w") as archive:
            for file in range(files):
                content = f"file {file} of layer {number}\n".encode()
                directory = file // _FILES_PER_DIRECTORY
                member = tarfile.TarInfo(f"some/directory-{directory}/file-{file}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        yield _push_tar(tar, registry)


def _push_tar(tar: Path, registry: RealRegistry) -> RegistryLayer:
    """Converts a tar, which goes, and puts the blob into the registry."""
    blob = tar.with_suffix(".blob")
    with ThreadPoolExecutor() as pool:
        finished = convert_layer(
            tar, blob, WriterOptions(), pool=pool, window=8, report=lambda _: None
        )
    tar.unlink()
    reference = _reference(registry)

    async def push() -> None:
        async with RegistryClient(ClientSettings()) as client:
            repository = Reference.parse(reference).repository_name
            await client.push_blob(repository, finished.digest, blob)

    trio.run(push)
    blob.unlink()
    return RegistryLayer(reference, finished.digest, finished.toc_digest)


def _reference(registry: RealRegistry) -> str:
    return f"{registry.host}/{_REPOSITORY}:1"


def _text(choose: random.Random, size: int) -> bytes:
    return choose.randbytes(size // 2).hex().encode()
