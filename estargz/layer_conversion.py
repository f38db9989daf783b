"""Converting one layer on disk: an uncompressed tar file in, an eStargz blob file out.

Blocking and CPU-bound: for a thread. Members are compressed in the threads of a pool while this one
plans ahead, writes and hashes; at most a window of them is in memory. The tar is mapped, so
members are slices of the page cache, not copies; what was written is given up again, so that memory does not grow with the layer.
"""

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from estargz.planning import MemberPlan, WriterOptions, plan_layer
from estargz.tar_stream import read_entries
from estargz.writer import BlobAssembler, CompressedMember, FinishedBlob, compress_members

# Handing a task to a thread costs about as much as compressing 2 KiB: small members travel together.
_BATCH_BYTES: Final = 1 << 20
_BATCH_MEMBERS: Final = 512
# So much of a mapped tar may count as this process's memory.
_RESIDENT_BYTES: Final = 16 << 20

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
        ConversionError: what is to come first is not there, and may not be missing.
        OSError: a file cannot be read or written.
    """
    assembler = BlobAssembler(options)
    with tar.open("rb") as file, blob.open("wb") as output:
        view = _map(file)
        plan = plan_layer(view, options, headers=_FileSlices(file))
        resident = 0
        for members in _compress(plan.members, options, pool=pool, window=window):
            for member in members:
                output.write(member.data)
                assembler.append(member)
            content = sum(member.plan.content_bytes for member in members)
            report(content)
            resident += content
            if resident >= _RESIDENT_BYTES:
                _forget_pages(view)
                resident = 0
        finished = assembler.finish()
        output.write(finished.tail)
    return replace(finished, missing=plan.missing)


def read_names(tar: Path) -> list[str]:
    """The names in a tar that a converted layer keeps, in order.

    Raises:
        UnsupportedTarError: the tar is damaged.
    """
    with tar.open("rb") as file:
        return [entry.name for entry in read_entries(_FileSlices(file))]


class _FileSlices:
    """A file as a ``TarBytes``: it is read. Touching a header of a mapped file would bring in what is around it."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()

    def __getitem__(self, part: slice, /) -> bytes:
        start: int = part.start or 0
        return os.pread(self._descriptor, part.stop - start, start)


def _map(file: BinaryIO) -> memoryview:
    if not file.seek(0, os.SEEK_END):
        return memoryview(b"")
    # Unmapped when the last slice is gone.
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _forget_pages(view: memoryview) -> None:
    """Gives up the memory through which a mapped file was read; whoever reads there again gets it from the page cache."""
    if isinstance(view.obj, mmap.mmap):
        view.obj.madvise(mmap.MADV_DONTNEED)


def _compress(
    plans: Iterable[MemberPlan], options: WriterOptions, *, pool: Executor, window: int
) -> Iterator[list[CompressedMember]]:
    under_way: deque[Future[list[CompressedMember]]] = deque()
    try:
        for batch in _batches(plans):
            under_way.append(pool.submit(compress_members, batch, options))
            if len(under_way) >= window:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _batches(plans: Iterable[MemberPlan]) -> Iterator[list[MemberPlan]]:
    batch: list[MemberPlan] = []
    size = 0
    for plan in plans:
        batch.append(plan)
        size += plan.content_bytes
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
