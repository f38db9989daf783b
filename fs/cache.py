"""The cache: all layers' content under one limit.

Between two limits the cache breathes: above the high one, room is made down to the low one, so that evicting is seldom. What
cannot be kept is served all the same (``fs.landing``). A disk that is full for other reasons is met in the same way.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from fs.cache_usage import CacheSettings, CacheUsage
from fs.chunk_store import Eviction
from fs.eviction import Candidate, plan_eviction
from fs.layer import Layer
from registry.digest import Digest

_log = logging.getLogger(__name__)
# How much is given up at least when the disk is full.
_MIN_ROOM_BYTES = 64 << 20


class Cache:
    """Keeps the content of a root's layers within its limit. Made in the trio thread, and used there."""

    def __init__(self, root: Path, settings: CacheSettings) -> None:
        """Measures the disk.

        Raises:
            OSError: the root is not there.
        """
        self._root = root
        self._settings = settings
        self._pressure = trio.Event()
        self._settled = trio.Event()
        self._settled.set()
        self._token = trio.lowlevel.current_trio_token()
        self.usage = CacheUsage(settings.limit_bytes(root), self._tell_pressure)
        self._set_limits()

    def __repr__(self) -> str:
        return f"<Cache {self.usage!r}>"

    def use(self, settings: CacheSettings) -> None:
        """Changes the limits.

        Raises:
            OSError: the root is not there.
        """
        self._settings = settings
        self._set_limits()
        self._tell_pressure()

    def _set_limits(self) -> None:
        usage, settings = self.usage, self._settings
        usage.limit_bytes = settings.limit_bytes(self._root)
        usage.spare_bytes = int(usage.limit_bytes * settings.spare_share)

    async def keep_within(self, layers: Callable[[], Mapping[Digest, Layer]]) -> None:
        """Makes room whenever it is needed, for ever."""
        while True:
            await self._pressure.wait()
            self._pressure = trio.Event()
            wanted = self._wanted_bytes()
            gone = await self._make_room(layers(), wanted) if wanted > 0 else 0
            self._settled.set()
            if gone < wanted:
                await trio.sleep(self._settings.retry_seconds)

    async def wait_settled(self) -> None:
        """Returns when all has gone that should have gone, as far as anything could."""
        await self._settled.wait()

    def _tell_pressure(self) -> None:
        if self._wanted_bytes() > 0:
            self._token.run_sync_soon(self._set_pressure, idempotent=True)

    def _set_pressure(self) -> None:
        self._settled = trio.Event()
        self._pressure.set()

    def _wanted_bytes(self) -> int:
        """How much should go now."""
        usage, settings = self.usage, self._settings
        low = int(usage.limit_bytes * settings.low_share)
        if usage.used_bytes > usage.limit_bytes * settings.high_share:
            return usage.used_bytes - low
        if usage.disk_error:
            return min(max(_MIN_ROOM_BYTES, usage.used_bytes // 10), usage.used_bytes)
        return 0

    async def _make_room(self, layers: Mapping[Digest, Layer], wanted_bytes: int) -> int:
        """Evicts; gives how much has gone."""
        candidates = [
            Candidate(
                layer=digest,
                last_used=layer.last_used,
                disk_bytes=layer.store.disk_bytes,
                is_pinned=layer.store.is_pinned,
            )
            for digest, layer in layers.items()
        ]
        used_before = time.time() - self._settings.lease_seconds
        gone = 0
        for digest, size in plan_eviction(candidates, wanted_bytes, used_before=used_before):
            gone += await self._evict(layers[digest], size)
        return gone

    async def _evict(self, layer: Layer, wanted_bytes: int) -> int:
        """Evicts content of one layer, step by step, until that is enough, or somebody wants the layer."""
        gone = 0
        while gone < wanted_bytes and not layer.store.is_pinned:
            eviction = layer.store.begin_eviction(wanted_bytes - gone)
            if not eviction.chunks:
                break
            gone += eviction.disk_bytes
            await self._give_back(layer, eviction)
        fields = {"layer": str(layer.digest), "bytes": gone}
        _log.info("content evicted", extra={"fields": fields})
        return gone

    async def _give_back(self, layer: Layer, eviction: Eviction) -> None:
        try:
            # A thread cannot be stopped; until it has ended, what leaves must not come again.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(layer.store.punch, eviction)
        except OSError as error:
            fields = {"layer": str(layer.digest), "error": str(error)}
            _log.warning("room could not be made", extra={"fields": fields})
        finally:
            layer.store.end_eviction()
