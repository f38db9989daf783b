"""Doing the same with many things at once, as one call that fails as one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

Item = TypeVar("Item")
Result = TypeVar("Result")


async def gather(
    work: Callable[[Item], Awaitable[Result]], items: Sequence[Item], *, at_once: int
) -> list[Result]:
    """The results of ``work`` for each item, in the order of the items.

    At most ``at_once`` are under way. When one fails the others are cancelled and its own error is raised, not a
    group: errors that come with it say nothing that the caller could act on.
    """
    results: dict[int, Result] = {}
    slots = trio.Semaphore(at_once)

    async def run(position: int, item: Item) -> None:
        async with slots:
            results[position] = await work(item)

    failures: ExceptionGroup[Exception] | None = None
    try:
        async with trio.open_nursery() as nursery:
            for position, item in enumerate(items):
                nursery.start_soon(run, position, item)
    except ExceptionGroup as group:
        failures = group
    if failures is not None:
        raise _first(failures)
    return [results[position] for position in range(len(items))]


def _first(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
