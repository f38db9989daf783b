"""``present``: which chunks of a layer's ``data`` count, as the disk knows it.

What is saved first makes ``data`` durable, and then says so: a crash can lose progress, but never truth. What cannot be
believed (damaged, of another layout, without its ``data``) is deleted, durably, before anything is written.
"""

import itertools
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from fs.chunk_table import ChunkTable
from fs.durable_files import replace_durably, sync_directory
from fs.errors import LayerStateError
from fs.packed_file import map_packed
from fs.present_chunks import PRESENT_MAGIC, PRESENT_SECTIONS, PRESENT_VERSION, PresentChunks

DATA_NAME = "data"
PRESENT_NAME = "present"


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``present`` should hold; a later one has a higher number."""

    number: int
    content: bytes


class PresentFile:
    """The file of one layer. All but ``next_progress`` block on the disk, and may be called in any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / PRESENT_NAME
        self._saving = threading.Lock()
        self._numbers = itertools.count(1)
        self._saved = 0
        self._is_retired = False

    def __repr__(self) -> str:
        return f"<PresentFile {self._path}>"

    def load(self, chunks: ChunkTable, *, data_bytes: int) -> PresentChunks:
        """What is here according to the disk; ``data`` is there afterwards.

        Raises:
            OSError: the directory cannot be used.
        """
        data = self._directory / DATA_NAME
        try:
            sections = map_packed(
                self._path,
                magic=PRESENT_MAGIC,
                version=PRESENT_VERSION,
                source=chunks.layout,
                sections=PRESENT_SECTIONS,
            )
            if data.stat().st_size == data_bytes:
                return PresentChunks(chunks, [bytes(section) for section in sections])
        except (LayerStateError, FileNotFoundError):
            pass
        is_new = not self._path.exists() and not data.exists()
        self._path.unlink(missing_ok=True)
        # Not emptied: the kernel may have mounted it, and what is shown to containers must not change.
        new = data.with_name(f"{DATA_NAME}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.replace(data)
        if not is_new:
            # Or after a loss of power the bits that are saved next might tell of the old file. A process that is killed before leaves
            # an old or a new one, never none: the next one comes here again.
            sync_directory(self._directory)
        return PresentChunks(chunks)

    def next_progress(self, present: PresentChunks) -> Progress:
        """What should be saved now."""
        return Progress(next(self._numbers), present.dump())

    def save(self, progress: Progress, data: int) -> None:
        """Makes ``data``, an open file, durable, then the bits that tell of it.

        Raises:
            OSError: the disk is full or broken; what was durable before still is.
        """
        with self._saving:
            self._save(progress, data)

    def save_without(self, progress: Progress, data: int) -> None:
        """Makes it durable that chunks do *not* count any more, whatever else that costs.

        Raises:
            OSError: the disk is broken.
        """
        with self._saving:
            if self._is_retired:
                return
            try:
                self._save(progress, data)
            except OSError:
                # A full disk may have no room for new bits. To have none at all costs progress, but needs no room.
                self._path.unlink(missing_ok=True)
            sync_directory(self._directory)

    def retire(self) -> None:
        """Nothing is saved any more: the directory is going, and there may be another one of its name."""
        with self._saving:
            self._is_retired = True

    def _save(self, progress: Progress, data: int) -> None:
        if progress.number > self._saved and not self._is_retired:
            # Whatever becomes of it: an older one that is still under way may tell of what was given up since.
            self._saved = progress.number
            os.fdatasync(data)
            replace_durably(self._path, progress.content)
