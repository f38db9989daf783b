import random
from pathlib import Path

import pytest

from estargz.codec import Codec
from fs.errors import WrongKindError
from fs.inodes import ROOT
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import layer_table, push
from tests.fs.layers_by_hand import HandmadeBlob, entry

CONTENT = bytes(range(256)) * 100


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1), (4095, 2), (0, 10**6), (25599, 5), (25600, 1), (10**9, 1), (7, 0)]
)
async def test_reads_are_what_a_file_gives(
    codec: Codec, offset: int, size: int, tmp_path: Path
) -> None:
    blob = HandmadeBlob(codec)
    blob.add_file("before", b"x" * 10)
    blob.add_file("file", CONTENT, chunk_bytes=4096)
    blob.add_file("after", b"y" * 10)
    with FakeRegistry() as fake:
        async with layer_table(tmp_path) as table:
            layer = await table.attach(push(blob, fake))
            index = layer.image.inodes.lookup(ROOT, b"file")
            data = await layer.read(index, offset=offset, size=size)
    assert data == CONTENT[offset : offset + size]


async def test_only_files_have_content(tmp_path: Path) -> None:
    blob = HandmadeBlob()
    blob.entries.append(entry("dir", "dir"))
    with FakeRegistry() as fake:
        async with layer_table(tmp_path) as table:
            layer = await table.attach(push(blob, fake))
            with pytest.raises(WrongKindError, match="/dir"):
                await layer.read(layer.image.inodes.lookup(ROOT, b"dir"), offset=0, size=1)


@pytest.mark.fuse
async def test_a_full_disk_costs_requests_but_no_reads(small_disk: Path) -> None:
    content = random.Random(2).randbytes(1_500_000)
    blob = HandmadeBlob()
    blob.add_file("file", content, chunk_bytes=100_000)
    with FakeRegistry() as fake:
        async with layer_table(small_disk) as table:
            layer = await table.attach(push(blob, fake))
            index = layer.image.inodes.lookup(ROOT, b"file")
            for offset in (0, 70_000, 1_250_000):
                data = await layer.read(index, offset=offset, size=130_000)
                assert data == content[offset : offset + 130_000]
            assert await layer.read(index, offset=0, size=10**7) == content
            assert not layer.store.is_complete
            (small_disk / "ballast").unlink()
            assert await layer.read(index, offset=0, size=10**7) == content
            assert layer.store.is_complete


async def test_small_files_that_share_a_member_come_together(tmp_path: Path) -> None:
    files = {f"f{number}": bytes([number]) * (100 + number) for number in range(20)}
    blob = HandmadeBlob()
    blob.add_shared_member(files)
    with FakeRegistry() as fake:
        async with layer_table(tmp_path) as table:
            layer = await table.attach(push(blob, fake))
            for name, content in files.items():
                index = layer.image.inodes.lookup(ROOT, name.encode())
                assert await layer.read(index, offset=0, size=1000) == content
            statistics = layer.statistics()
    assert statistics.requests == 2
    assert statistics.present_bytes == statistics.content_bytes == sum(map(len, files.values()))
