"""Content that other layers have: copied instead of fetched, so that a tag which differs in one file costs that file.

The index is the layers' own chunk tables: their digests lie in a column, and to find what two layers have in common is to
intersect two columns. There is nothing besides them to keep, to bound, or to be wrong.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import trio

from estargz.errors import DigestMismatchError
from fs.chunk_store import ChunkStore
from fs.chunk_table import DIGEST_BYTES, ChunkTable

_log = logging.getLogger(__name__)
_PREFIX_BYTES = 8
# What is copied between two looks at who waits.
_BATCH_CHUNKS = 64
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Donor:
    """A layer that may have what another one misses."""

    chunks: ChunkTable
    store: ChunkStore


@dataclass(frozen=True, slots=True)
class SharedChunk:
    """A chunk of a donor with the content of one of ours."""

    donor: Donor
    index: int


class SharedContent:
    """What a new layer can have from others; it is found first, then copied, what is waited for before the rest."""

    def __init__(self, chunks: ChunkTable, store: ChunkStore, donors: Sequence[Donor]) -> None:
        self._chunks = chunks
        self._store = store
        self._donors = donors
        self._pending: dict[int, SharedChunk] = {}
        self._found = trio.Event()
        self._copying = trio.Lock()
        self.copied_bytes = 0

    def __repr__(self) -> str:
        return f"<SharedContent {len(self._pending)} chunks to be copied>"

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to be had."""
        return self._found.is_set() and not self._pending

    async def bring_all(self) -> None:
        """Finds what is shared, and copies all of it."""
        try:
            if self._donors:
                self._pending = await trio.to_thread.run_sync(
                    find_shared, self._chunks, self._donors, abandon_on_cancel=True
                )
        finally:
            self._donors = ()
            self._found.set()
        try:
            for batch in list(self._batches()):
                await self._copy(batch)
        finally:
            self._pending = {}

    async def bring(self, indices: Iterable[int]) -> None:
        """Copies those of the chunks that others have; somebody waits for them."""
        await self._found.wait()
        await self._copy([index for index in indices if index in self._pending])

    def _batches(self) -> Iterator[list[int]]:
        batch: list[int] = []
        size = 0
        for index in sorted(self._pending):
            batch.append(index)
            size += self._chunks.sizes[index]
            if len(batch) >= _BATCH_CHUNKS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _copy(self, indices: Sequence[int]) -> None:
        async with self._copying:
            found = {i: self._pending.pop(i) for i in indices if i in self._pending}
            wanted = {index: found[index] for index in self._store.missing(found)}
            if not wanted:
                return
            # A thread cannot be stopped, and what it brings would have to be fetched.
            with trio.CancelScope(shield=True):
                copied = await trio.to_thread.run_sync(self._copy_now, wanted)
            size = self._store.mark_present(copied)
            self.copied_bytes += sum(self._chunks.sizes[index] for index in copied)
            self._store.tell_shared(size)

    def _copy_now(self, wanted: dict[int, SharedChunk]) -> list[int]:
        copied = []
        for index, shared in wanted.items():
            donor = shared.donor.store
            try:
                if not donor.missing([shared.index]):
                    self._store.copy(index, donor, shared.index)
                    copied.append(index)
            except (DigestMismatchError, OSError) as error:
                # Whoever wants it will have it fetched.
                _log.debug("shared content not copied", extra={"fields": {"error": str(error)}})
        return copied


def find_shared(chunks: ChunkTable, donors: Iterable[Donor]) -> dict[int, SharedChunk]:
    """For each chunk that one of the donors has at this moment, where. CPU in proportion to all tables: call it in a thread."""
    ours = _prefixes(chunks)
    known = set(ours)
    shared: dict[int, SharedChunk] = {}
    for donor in donors:
        theirs = _prefixes(donor.chunks)
        common = known.intersection(theirs)
        places = {prefix: index for index, prefix in enumerate(theirs) if prefix in common}
        for index, prefix in enumerate(ours) if common else ():
            place = places.get(prefix)
            is_there = place is not None and not donor.store.missing([place])
            if place is not None and is_there and _is_same(chunks, index, donor.chunks, place):
                shared.setdefault(index, SharedChunk(donor, place))
    return shared


def _prefixes(chunks: ChunkTable) -> list[int]:
    """The first bytes of all digests, as numbers: fast to compare, and nearly always enough."""
    words = chunks.digests.cast("B").cast("Q")
    return words[:: DIGEST_BYTES // _PREFIX_BYTES].tolist()


def _is_same(chunks: ChunkTable, index: int, others: ChunkTable, other: int) -> bool:
    same_size = chunks.sizes[index] == others.sizes[other]
    return same_size and chunks.digest(index) == others.digest(other)
