"""Filling: fetching what nobody waits for yet.

*Prefetch* brings what the image's landmark says a container will read first, as soon as the layer is attached, in
requests that begin small. *Background* then brings the rest in blob order, so that the network is not needed any more.
Both stand aside, between two members, while a reader waits; background also for a moment afterwards, and after a layer was
attached: a container is about to start, and would miss the processor more than the content that comes by chance.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

import trio

from fs.durations import Operation
from fs.fetch_counters import Priority
from fs.layer import Layer
from fs.node_traffic import NodeTraffic

_log = logging.getLogger(__name__)
_MAX_FAILURES = 10
_MAX_PAUSE_SECONDS = 60.0
MAX_WAIT_SECONDS = 120  # kubelets give up soon after
# How long background waits before it looks again whether the cache has room.
_FULL_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSettings:
    """What is fetched unasked.

    Attributes:
        prefetch: whether landmarks, or the prefetch size where a layer has none, are followed.
        prefetch_bytes: how much of a layer without a landmark is prefetched.
        wait_seconds: how long who starts a container waits at most for what is prefetched; 0 for not at all.
        wait_max_bytes: of a layer of which more is prefetched, nobody waits for any; None for no such limit.
        background: whether layers are completed.
        quiet_seconds: how long no reader may have waited, and no layer have come, before background goes on.
        first_request_bytes: how large the first request is; each further one is twice as large, or what the link carries in
            two round trips.
        max_request_bytes: the largest request. A reader need not wait for its end: it takes part, or overtakes.
        layers_at_once: how many layers are completed at a time.
    """

    prefetch: bool = True
    prefetch_bytes: int = 0
    wait_seconds: float = 0.0
    wait_max_bytes: int | None = None
    background: bool = True
    quiet_seconds: float = 2.0
    first_request_bytes: int = 256 << 10
    max_request_bytes: int = 64 << 20
    layers_at_once: int = 2


class Filler:
    """Fills layers, as its settings say."""

    def __init__(self, node: NodeTraffic, settings: FillSettings) -> None:
        self._gate = node.gate
        self._durations = node.durations
        self._settings = settings
        self._limiter = trio.CapacityLimiter(settings.layers_at_once)

    def __repr__(self) -> str:
        return f"<Filler {self._settings}>"

    async def fill(self, layer: Layer, *, prefetch_bytes: int | None = None) -> None:
        """Prefetches, then completes a layer; returns early only when it is given up.

        Args:
            layer: the layer.
            prefetch_bytes: how much to prefetch if no landmark says so; None for what the settings say.
        """
        if self._settings.prefetch:
            size = self._settings.prefetch_bytes if prefetch_bytes is None else prefetch_bytes
            landmark = layer.image.prefetch_end
            end = size if landmark is None else landmark
            limit = self._settings.wait_max_bytes
            if limit is not None and min(end, layer.blob_bytes) > limit:
                layer.prefetched.set()
            if layer.store.has_room:
                await self._bring(layer, Priority.PREFETCH, end)
        layer.prefetched.set()
        if self._settings.background:
            async with self._limiter:
                with self._durations.measured(Operation.BACKGROUND):
                    await self._bring(layer, Priority.BACKGROUND, None)
            if layer.store.is_complete:
                _log.info("layer complete", extra={"fields": {"layer": str(layer.digest)}})

    async def wait_prefetched(self, layers: Collection[Layer]) -> None:
        """Returns when a container may start on these layers: by default at once, or as the settings say."""
        if not self._settings.wait_seconds:
            return
        with trio.move_on_after(self._settings.wait_seconds):
            for layer in layers:
                await layer.prefetched.wait()
        for layer in layers:
            if not layer.prefetched.is_set():
                layer.prefetched.set()  # once was long enough
                fields = {"layer": str(layer.digest), "seconds": self._settings.wait_seconds}
                _log.warning(
                    "container starts before its prefetch is done", extra={"fields": fields}
                )

    async def _bring(self, layer: Layer, priority: Priority, end: int | None) -> None:
        """Brings the members that begin before ``end``, until all are here or too much has failed."""
        fetcher, settings = layer.fetcher, self._settings
        quiet_seconds = settings.quiet_seconds if priority is Priority.BACKGROUND else 0.0
        window, position, failures = settings.first_request_bytes, 0, 0
        while failures < _MAX_FAILURES and not layer.store.is_complete:
            await self._gate.wait_quiet(quiet_seconds)
            if priority is Priority.BACKGROUND and not layer.store.has_spare_room:
                # What nobody waits for must not drive out what was of use, and be driven out in its turn.
                await trio.sleep(_FULL_PAUSE_SECONDS)
                continue
            request = await fetcher.next_missing(position, end=end, max_bytes=window)
            if not request and position == 0:
                return
            if not request:
                position = 0  # once more, for what was on its way for others and did not arrive
                continue
            await fetcher.bring(request, priority, quiet_seconds=quiet_seconds)
            if fetcher.is_missing(request[0]):
                failures += 1
                await trio.sleep(min(2.0**failures, _MAX_PAUSE_SECONDS))
            else:
                position = request[-1] + 1
                # As soon as the link is known, no request leaves it idle for longer than it works.
                window = min(2 * max(window, fetcher.link_bytes), settings.max_request_bytes)
        if failures >= _MAX_FAILURES:
            fields = {"layer": str(layer.digest), "error": fetcher.last_error}
            _log.warning("layer is not completed", extra={"fields": fields})
