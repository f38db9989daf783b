from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from estargz.errors import DigestMismatchError, NotEstargzError
from fs.errors import ChunkUnavailableError, StaleLayerError
from fs.layer import Layer
from fs.layer_source import LayerSource
from registry.digest import Digest
from registry.errors import NotFoundError
from registry.reference import Reference
from tests.fakes.registry import FakeRegistry
from tests.fs.in_process import (
    CONTENT,
    QUICK,
    REPOSITORY,
    layer_table,
    mirrored,
    push,
    read_file,
)
from tests.fs.layers_by_hand import HandmadeBlob


async def test_attaching_costs_one_request_and_again_none(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        assert await table.attach(source) is layer
        assert await table.find(source.digest.file_name.encode()) is layer
        assert table.numbered(layer.number) is layer
        assert fake.count("blob") == 1


async def test_racing_callers_share_one_opening(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    layers: list[Layer] = []

    async with layer_table(tmp_path) as table:

        async def attach() -> None:
            layers.append(await table.attach(source))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(attach)
        assert len(set(layers)) == 1
    assert fake.count("blob") == 1


async def test_the_toc_must_be_the_pinned_one(source: LayerSource, tmp_path: Path) -> None:
    other = LayerSource(source.reference, source.digest, Digest.of(b"another"))
    async with layer_table(tmp_path) as table:
        with pytest.raises(DigestMismatchError):
            await table.attach(other)
        assert table.statistics() == []
        await table.attach(source)
        with pytest.raises(DigestMismatchError):
            await table.attach(other)


async def test_layers_that_cannot_be_opened_say_why(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    ordinary = fake.add_blob(REPOSITORY, b"no eStargz " * 100)
    missing = Digest.of(b"not there")
    async with layer_table(tmp_path) as table:
        with pytest.raises(NotEstargzError):
            await table.attach(LayerSource(source.reference, ordinary, source.toc_digest))
        with pytest.raises(NotFoundError):
            await table.attach(LayerSource(source.reference, missing, source.toc_digest))


async def test_content_is_kept_over_a_restart(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        assert await read_file(await table.attach(source)) == CONTENT
    asked = len(fake.requests)
    async with layer_table(tmp_path) as table:
        layer = await table.find(source.digest.file_name.encode())
        assert await read_file(layer) == CONTENT
        assert layer.statistics().landed_bytes == layer.statistics().blob_bytes
    assert len(fake.requests) == asked


async def test_unknown_names_and_numbers_are_stale(source: LayerSource, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        for name in (b"no digest", b"\xff", source.digest.file_name.encode()):
            with pytest.raises(StaleLayerError):
                await table.find(name)
        with pytest.raises(StaleLayerError):
            table.numbered(99)
        layer = await table.attach(source)
        assert await table.detach(source.digest) is layer
        assert await table.detach(source.digest) is None
        with pytest.raises(StaleLayerError):
            table.numbered(layer.number)


async def test_a_failing_neighbour_harms_nobody(source: LayerSource, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(
            replace(source, neighbours=(Digest.of(b"missing"), source.digest))
        )
        assert await read_file(layer) == CONTENT


async def test_what_was_compiled_ahead_is_checked_when_its_digest_is_known(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    blob = HandmadeBlob()
    blob.add_file("file", CONTENT)
    neighbour = push(blob, fake)
    wrong = replace(neighbour, toc_digest=Digest.of(b"another"))
    async with layer_table(tmp_path) as table:
        await table.attach(replace(source, neighbours=(neighbour.digest,)))
        with pytest.raises(DigestMismatchError):
            await table.attach(wrong)
        assert await read_file(await table.attach(neighbour)) == CONTENT


async def test_the_last_image_that_asked_is_where_content_comes_from(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    moved = Reference.parse(f"{fake.host}/moved/image:2")
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        await table.attach(LayerSource(moved, source.digest, source.toc_digest))
        with pytest.raises(ChunkUnavailableError):
            await read_file(layer)
        await table.attach(source)
        assert await read_file(layer) == CONTENT


async def test_a_wrong_table_of_contents_is_asked_of_the_next_server(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    with FakeRegistry() as mirror:
        for key, blob in fake.state.blobs.items():
            mirror.state.blobs[key] = blob[:-100] + bytes([blob[-100] ^ 1]) + blob[-99:]
        settings = replace(QUICK, hosts=mirrored(tmp_path / "certs.d", fake, mirror))
        async with layer_table(tmp_path / "root", client_settings=settings) as table:
            layer = await table.attach(source)
            assert await read_file(layer) == CONTENT
    assert mirror.count("blob") == 1
