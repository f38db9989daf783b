"""Making progress durable: every few seconds, and at the end."""

import logging
from collections.abc import Callable, Collection

import trio

from fs.layer import Layer

_log = logging.getLogger(__name__)
# How long fetched content may wait to be made durable: more saves disk flushes, less saves refetching.
_CHECKPOINT_SECONDS = 2.0
_LAST_USE_SECONDS = 60.0


async def save_regularly(layers: Callable[[], Collection[Layer]]) -> None:
    """Saves what is new of all layers, again and again."""
    while True:
        await trio.sleep(_CHECKPOINT_SECONDS)
        await save_all(layers())


async def save_all(layers: Collection[Layer]) -> None:
    """Saves what is new of all layers; what a broken disk does not take is tried again the next time."""
    for layer in list(layers):
        store, progress = layer.store, layer.store.take_unsaved()
        if layer.last_used > store.last_use + _LAST_USE_SECONDS:
            store.save_last_use(layer.last_used)
        if progress is not None:
            try:
                await trio.to_thread.run_sync(store.save, progress)
            except OSError as error:
                fields = {"layer": str(layer.digest), "error": str(error)}
                _log.warning("progress could not be made durable", extra={"fields": fields})
