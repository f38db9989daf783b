"""Converting one layer on disk: an uncompressed tar file in, an eStargz blob file out.

Blocking and CPU-bound: for a thread. Members are compressed in the threads of a pool while this one
plans ahead, writes and hashes; at most a window of them is in memory. The tar is mapped, so
members are slices of the page cache, not copies.
"""

import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path

from estargz.planning import MemberPlan, WriterOptions, plan_members
from estargz.tar_stream import read_entries
from estargz.writer import BlobAssembler, CompressedMember, FinishedBlob, compress_member

# Handing a task to a thread costs about as much as compressing 2 KiB: small members travel together.
_BATCH_BYTES = 1 << 20
_BATCH_MEMBERS = 512

Report = Callable[[int], None]


def convert_layer(
    tar: Path,
    blob: Path,
    options: WriterOptions,
    *,
    pool: Executor,
    window: int,
    report: Report,
) -> FinishedBlob:
    """Writes the eStargz blob of a tar. The result depends on the tar and the options alone.

    Args:
        tar: the uncompressed layer; not changed, and nobody may change it meanwhile.
        blob: the file to write.
        options: how to write it.
        pool: where members are compressed.
        window: how many batches of members may be under way or waiting to be written.
        report: called with the number of uncompressed bytes just written; may raise to stop the work.

    Raises:
        UnsupportedTarError: the tar is damaged, or an entry cannot be represented.
        OSError: a file cannot be read or written.
    """
    assembler = BlobAssembler()
    content = _map(tar)
    plans = plan_members(content, read_entries(content), options)
    with blob.open("wb") as output:
        for members in _compress(plans, options.compression_level, pool=pool, window=window):
            for member in members:
                output.write(member.data)
                assembler.append(member)
            report(sum(piece.nbytes for member in members for piece in member.plan.pieces))
        finished = assembler.finish(compression_level=options.compression_level)
        output.write(finished.tail)
    return finished


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return memoryview(b"")
        # Unmapped when the last slice is gone.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _compress(
    plans: Iterable[MemberPlan], level: int, *, pool: Executor, window: int
) -> Iterator[list[CompressedMember]]:
    under_way: deque[Future[list[CompressedMember]]] = deque()
    try:
        for batch in _batches(plans):
            under_way.append(pool.submit(_compress_batch, batch, level))
            if len(under_way) >= window:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _compress_batch(batch: list[MemberPlan], level: int) -> list[CompressedMember]:
    return [compress_member(plan, level=level) for plan in batch]


def _batches(plans: Iterable[MemberPlan]) -> Iterator[list[MemberPlan]]:
    batch: list[MemberPlan] = []
    size = 0
    for plan in plans:
        batch.append(plan)
        size += sum(piece.nbytes for piece in plan.pieces)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
