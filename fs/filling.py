"""Filling: fetching what nobody waits for yet.

*Prefetch* brings what the image's landmark says a container will read first, as soon as the layer is attached, in
requests that begin small. *Background* then brings the rest in blob order, so that the network is not needed any more.
Both stand aside, between two members, while a reader waits; background also for a moment afterwards.
"""

import logging
from dataclasses import dataclass, replace

import trio

from fs.demand_gate import DemandGate
from fs.layer import Layer
from fs.request_planning import FetchSettings, plan_requests

_log = logging.getLogger(__name__)
_FIRST_WINDOW_BYTES = 256 << 10
_MAX_FAILURES = 10
_MAX_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSettings:
    """What is fetched unasked.

    Attributes:
        prefetch: whether landmarks, or the prefetch size where a layer has none, are followed.
        prefetch_bytes: how much of a layer without a landmark is prefetched.
        background: whether layers are completed.
        quiet_seconds: how long no reader may have waited before background goes on.
        max_request_bytes: the largest request.
        layers_at_once: how many layers are completed at a time.
    """

    prefetch: bool = True
    prefetch_bytes: int = 0
    background: bool = True
    quiet_seconds: float = 0.5
    max_request_bytes: int = 8 << 20
    layers_at_once: int = 2


class Filler:
    """Fills layers, as its settings say."""

    def __init__(self, gate: DemandGate, settings: FillSettings) -> None:
        self._gate = gate
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
            await self._bring(layer, end, quiet_seconds=0.0)
        if self._settings.background:
            async with self._limiter:
                complete = await self._bring(
                    layer, None, quiet_seconds=self._settings.quiet_seconds
                )
            if complete:
                _log.info("layer complete", extra={"fields": {"layer": str(layer.digest)}})

    async def _bring(self, layer: Layer, end: int | None, *, quiet_seconds: float) -> bool:
        """Brings the members that begin before ``end``; tells whether all are here."""
        window, failures = _FIRST_WINDOW_BYTES, 0
        while missing := layer.fetcher.missing_members(end):
            await self._gate.wait_quiet(quiet_seconds)
            settings = replace(FetchSettings(), max_request_bytes=window)
            request = plan_requests(missing, layer.image.chunks, settings)[0]
            await layer.fetcher.bring(request, lambda: self._gate.wait_quiet(quiet_seconds))
            if request[0] in layer.fetcher.missing_members(end):
                failures += 1
                if failures == _MAX_FAILURES:
                    fields = {"layer": str(layer.digest), "error": layer.fetcher.last_error}
                    _log.warning("layer is not completed", extra={"fields": fields})
                    return False
                await trio.sleep(min(2.0**failures, _MAX_PAUSE_SECONDS))
            else:
                failures = 0
                window = min(2 * window, self._settings.max_request_bytes)
        return True
