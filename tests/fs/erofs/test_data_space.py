from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from estargz.toc import Toc
from fs.compiling import compile_layer
from fs.erofs import data_space
from fs.erofs.fuse_protocol import ReadRange
from fs.layer_directory import LayerDirectories
from fs.present_file import DATA_NAME
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import layer_table, push
from tests.fs.layers_by_hand import HandmadeBlob

FILES = {"a": b"a" * 5000, "b": b"b" * 4096, "c": b"c" * 10}
SPACE = b"".join(
    content.ljust(-(-len(content) // 4096) * 4096, b"\0") for content in FILES.values()
)


def handmade() -> HandmadeBlob:
    blob = HandmadeBlob()
    for name, content in FILES.items():
        blob.add_file(name, content, chunk_bytes=4096)
    return blob


@given(st.integers(0, len(SPACE)), st.integers(0, len(SPACE)))
def test_the_chunks_within_a_range_are_those_with_content_there(start: int, end: int) -> None:
    blob = handmade()
    image = compile_layer(Toc(entries=blob.entries), payload_bytes=len(blob.data))
    chunks = image.chunks
    expected = [
        index
        for index in range(len(chunks))
        if max(start, chunks.data_offsets[index])
        < min(end, chunks.data_offsets[index] + chunks.sizes[index])
    ]
    assert list(data_space.chunks_within(chunks, start, end)) == expected


async def test_the_data_space_is_the_files_and_zeros_between(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(push(handmade(), fake))
        everything = ReadRange(0, 1 << 20)
        assert data_space.read_present(layer, everything) is None
        assert await data_space.read(layer, ReadRange(4090, 20)) == SPACE[4090:4110]
        assert data_space.read_present(layer, ReadRange(5000, 100)) == bytes(100)
        assert await data_space.read(layer, everything) == SPACE
        assert data_space.read_present(layer, everything) == SPACE
        assert await data_space.read(layer, ReadRange(1 << 20, 10)) == b""


async def test_a_data_file_that_was_cut_off_is_an_error(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(push(handmade(), fake))
        await data_space.read(layer, ReadRange(0, 1 << 20))
        data = LayerDirectories(tmp_path).path(layer.digest) / DATA_NAME
        with data.open("r+b") as file:
            file.truncate(4096)
        with pytest.raises(OSError, match="cut off"):
            data_space.read_present(layer, ReadRange(0, 8192))
        with pytest.raises(OSError, match="cut off"):
            await data_space.read(layer, ReadRange(0, 8192))
