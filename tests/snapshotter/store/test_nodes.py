"""Numbers live as long as the kernel remembers them."""

import pytest

from snapshotter.store.nodes import (
    ROOT_NUMBER,
    FileNode,
    ImageNode,
    Kind,
    LayerNode,
    NodeTable,
    RootNode,
)
from tests.snapshotter.store.test_image import BLOB, LAYER, REFERENCE


def test_a_node_keeps_its_number_until_it_is_forgotten() -> None:
    table = NodeTable()
    image, layer = ImageNode(REFERENCE), LayerNode(LAYER, BLOB)
    number = table.look_up(image)
    assert table.look_up(image) == number
    files = {table.look_up(FileNode(layer, kind)) for kind in Kind}
    numbers = {number, table.look_up(layer), *files}
    assert len(numbers) == 5
    assert ROOT_NUMBER not in numbers
    assert (table[number], len(table)) == (image, 6)
    table.forget(number, 1)
    assert table[number] == image
    table.forget(number, 1)
    with pytest.raises(KeyError):
        table[number]
    assert table.look_up(image) not in numbers


def test_the_root_is_never_forgotten() -> None:
    table = NodeTable()
    table.forget(ROOT_NUMBER, 5)
    assert (table[ROOT_NUMBER], len(table)) == (RootNode(), 1)
