from pathlib import Path

from fs.fetch_counters import FetchStatistics, Transfer
from fs.layer_source import LayerSource
from fs.status_messages import cache_message, fetch_message, layer_message
from tests.fs.in_process import CONTENT, UNBOUNDED, layer_table, read_file


async def test_what_was_read_is_told(source: LayerSource, tmp_path: Path) -> None:
    async with layer_table(tmp_path) as table:
        layer = await table.attach(source)
        await read_file(layer)
        await read_file(layer)
        told = layer_message(layer.statistics())
        cache = cache_message(table.cache_statistics())
    assert told.layer_digest == str(source.digest)
    assert told.present_bytes == told.content_bytes == len(CONTENT)
    assert told.landed_bytes == told.blob_bytes
    assert told.disk_bytes == cache.used_bytes == len(CONTENT)
    assert (told.fetching.hits, told.fetching.waits, told.fetching.demand.requests) == (1, 1, 1)
    assert 0 < told.fetching.demand.bytes < told.fetched_bytes
    assert told.last_used > 0
    assert (cache.limit_bytes, cache.evicted_bytes) == (UNBOUNDED.max_bytes, 0)
    assert (cache.unkept_writes, cache.disk_error) == (0, "")


async def test_what_was_fetched_is_remembered_when_the_layer_is_gone(
    source: LayerSource, tmp_path: Path
) -> None:
    async with layer_table(tmp_path) as table:
        await read_file(await table.attach(source))
        before = fetch_message(table.fetch_statistics())
        await table.detach(source.digest)
        assert fetch_message(table.fetch_statistics()) == before
        await read_file(await table.attach(source))
        assert table.fetch_statistics().waits == 2


def test_sums_are_sums() -> None:
    one = FetchStatistics(demand=Transfer(1, 2), background=Transfer(3, 4), hits=5, retries=6)
    both = one + one
    assert both == FetchStatistics(
        demand=Transfer(2, 4), background=Transfer(6, 8), hits=10, retries=12
    )
    assert fetch_message(both).background.bytes == 8
