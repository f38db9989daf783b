"""What a store's directory consists of, by the numbers that the kernel knows it by. No I/O."""

from dataclasses import dataclass
from enum import Enum

from registry.digest import Digest
from registry.reference import Reference
from snapshotter.store.image import StoreLayer

ROOT_NUMBER = 1


class Kind(Enum):
    """The three names in a layer's directory that are there; ``use`` never is."""

    DIFF = b"diff"
    INFO = b"info"
    BLOB = b"blob"


USE = b"use"


@dataclass(frozen=True, slots=True)
class RootNode:
    """The mount's root: a directory of images."""


@dataclass(frozen=True, slots=True)
class ImageNode:
    """A directory of layers."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class LayerNode:
    """A layer's directory, with the digest that it is named by."""

    layer: StoreLayer
    name: Digest


@dataclass(frozen=True, slots=True)
class FileNode:
    """What a layer's directory contains."""

    parent: LayerNode
    kind: Kind


Node = RootNode | ImageNode | LayerNode | FileNode


class NodeTable:
    """Numbers of nodes, each for as long as the kernel remembers it."""

    def __init__(self) -> None:
        self._nodes: dict[int, Node] = {ROOT_NUMBER: RootNode()}
        self._numbers: dict[Node, int] = {}
        self._lookups: dict[int, int] = {}
        self._next = ROOT_NUMBER + 1

    def __repr__(self) -> str:
        return f"<NodeTable {len(self._nodes)} nodes>"

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, number: int) -> Node:
        return self._nodes[number]

    def look_up(self, node: Node) -> int:
        """The number of a node, which the kernel is told once more."""
        number = self._numbers.get(node)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers[node] = number
            self._nodes[number] = node
            self._lookups[number] = 0
        self._lookups[number] += 1
        return number

    def forget(self, number: int, count: int) -> None:
        """The kernel forgets that it was told a number so often."""
        if number == ROOT_NUMBER:
            return
        self._lookups[number] -= count
        if self._lookups[number] <= 0:
            del self._lookups[number]
            del self._numbers[self._nodes.pop(number)]
