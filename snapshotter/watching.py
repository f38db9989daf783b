"""What can be seen of a running daemon from outside: metrics, health, and what it is doing."""

import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any

from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError
from snapshotter.http_endpoint import Page, Pages, serving_tcp, serving_unix
from snapshotter.metrics import CONTENT_TYPE, DaemonMetrics, Status


@contextmanager
def watched(
    settings: ServeSettings,
    metrics: DaemonMetrics,
    status: Status,
    variables: Callable[[], Mapping[str, Any]],
) -> Iterator[None]:
    """Serves what the settings want served.

    Args:
        settings: where.
        metrics: what Prometheus gets.
        status: asks the fs server; its answer is its health.
        variables: what ``/debug/vars`` shows.

    Raises:
        StartupError: it cannot listen there.
    """
    pages: Pages = {
        "/metrics": lambda: Page(metrics.expose(), CONTENT_TYPE),
        "/healthz": lambda: _health(status),
    }
    debug_pages: Pages = {
        **pages,
        "/debug/vars": lambda: Page(_json(variables()), "application/json"),
        "/debug/stacks": lambda: Page(_stacks().encode()),
        "/debug/pprof/goroutine": lambda: Page(
            _stacks().encode()
        ),  # where tools for Go programs look
    }
    with ExitStack() as stack:
        if settings.metrics_address is not None:
            stack.enter_context(serving_tcp(settings.metrics_address, pages))
        if settings.debug_address is not None:
            stack.enter_context(serving_unix(settings.debug_address, debug_pages))
        yield


def _health(status: Status) -> Page:
    """Well, if new containers could be started now."""
    try:
        count = len(status().layers)
    except FsServerError as error:
        return Page(f"{error}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)
    return Page(f"ok, {count} layers\n".encode())


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, default=str).encode() + b"\n"


def _stacks() -> str:
    frames = sys._current_frames()  # noqa: SLF001 - the interpreter has no other name for it
    return "\n".join(
        f"{thread.name}\n{''.join(traceback.format_stack(frames[thread.ident]))}"
        for thread in threading.enumerate()
        if thread.ident in frames
    )
