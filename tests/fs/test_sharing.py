"""Content that another layer has is copied: a tag that differs in one file costs that file."""

import random
from pathlib import Path

import pytest

from estargz.codec import Codec
from fs.filling import FillSettings
from fs.layer_source import LayerSource
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import NOTHING_UNASKED, layer_table, push, read_file
from tests.fs.layers_by_hand import HandmadeBlob

BACKGROUND = FillSettings(prefetch=False, quiet_seconds=0.0)
FILES = {f"f{n}": random.Random(n).randbytes(3000 + 9000 * (n % 3)) for n in range(30)}


def layer(fake: FakeRegistry, files: dict[str, bytes], codec: Codec = Codec.GZIP) -> LayerSource:
    blob = HandmadeBlob(codec)
    blob.add_shared_member({name: files[name] for name in list(files)[:5]})
    for name in list(files)[5:]:
        blob.add_file(name, files[name], chunk_bytes=8192)
    return push(blob, fake)


@pytest.mark.parametrize("codec", list(Codec))
async def test_a_tag_that_differs_in_one_file_costs_that_file(
    fake: FakeRegistry, tmp_path: Path, codec: Codec
) -> None:
    changed = FILES | {"f7": b"changed" * 100}
    async with layer_table(tmp_path, filling=BACKGROUND) as table:
        first = await table.attach(layer(fake, FILES))
        await first.filled.wait()
        second = await table.attach(layer(fake, changed, codec))
        await second.filled.wait()
        assert second.store.is_complete
        assert second.statistics().requests == 2  # the TOC, and the file
        assert second.shared.copied_bytes == sum(map(len, FILES.values())) - len(FILES["f7"])
        assert table.cache_statistics().shared_bytes >= second.shared.copied_bytes
        for name, content in changed.items():
            assert await read_file(second, name.encode()) == content


async def test_who_reads_at_once_need_not_fetch_either(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        first = await table.attach(layer(fake, FILES))
        for name in FILES:
            await read_file(first, name.encode())
        second = await table.attach(layer(fake, FILES | {"g": b"new"}))
        for name, content in reversed(FILES.items()):
            assert await read_file(second, name.encode()) == content
        assert second.statistics().requests == 1


async def test_what_a_donor_lost_is_fetched(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path, filling=NOTHING_UNASKED) as table:
        first = await table.attach(layer(fake, FILES))
        for name in FILES:
            await read_file(first, name.encode())
        for path in (tmp_path / "sha256" / first.digest.hex,):
            with (path / "data").open("r+b") as file:  # its disk is damaged
                file.write(b"\xff" * 100)
        second = await table.attach(layer(fake, FILES | {"g": b"new"}))
        for name, content in FILES.items():
            assert await read_file(second, name.encode()) == content
        assert second.statistics().requests == 2


async def test_a_donor_may_go_meanwhile(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        first = await table.attach(layer(fake, FILES))
        await read_file(first, b"f20")
        second = await table.attach(layer(fake, FILES | {"g": b"new"}))
        await table.detach(first.digest)
        assert await read_file(second, b"f20") == FILES["f20"]
        assert await read_file(second, b"f21") == FILES["f21"]


async def test_nothing_in_common_costs_nothing(fake: FakeRegistry, tmp_path: Path) -> None:
    async with layer_table(tmp_path, filling=BACKGROUND) as table:
        first = await table.attach(layer(fake, FILES))
        await first.filled.wait()
        other = await table.attach(layer(fake, {k: v[::-1] for k, v in FILES.items()}))
        await other.filled.wait()
        assert other.shared.is_done
        assert other.shared.copied_bytes == 0
        assert repr(other.shared) == "<SharedContent 0 chunks to be copied>"
