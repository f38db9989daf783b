"""A disk that can lose its power: what was done to a directory is recorded, and replayed with what was not flushed left out.

What counts as safe is only what POSIX promises: the bytes of a file after it was flushed, a name after its directory was. Of the
rest any part may have reached the disk, in any order, and of a write any of its sectors; only a rename is whole or not at all.
"""

import io
import itertools
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from fs.durable_files import punch_hole

_ROOT = 0
_real_open = io.open
_SECTOR = 512


@dataclass(frozen=True)
class Change:
    """Something that happened to one file's bytes."""

    inode: int
    offset: int
    content: bytes | None  # None: the file ends here


@dataclass(frozen=True)
class Naming:
    """Names that came, or went (None), together."""

    names: tuple[tuple[int, str, int | None], ...]


@dataclass(frozen=True)
class Flush:
    """A file, or a directory, was flushed."""

    inode: int


@dataclass(frozen=True)
class Directory:
    """A number is that of a directory, wherever a name leads to it."""

    inode: int


Step = Change | Naming | Flush | Directory


@dataclass
class Image:
    """What is on a disk: the bytes of files, and the names in directories."""

    files: dict[int, bytearray] = field(default_factory=dict)
    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {_ROOT: {}})

    def apply(self, step: Step) -> None:
        match step:
            case Change(inode, offset, None):
                file = self.files.setdefault(inode, bytearray())
                del file[offset:]
                file.extend(bytes(offset - len(file)))
            case Change(inode, offset, bytes() as content):
                file = self.files.setdefault(inode, bytearray())
                file.extend(bytes(max(0, offset + len(content) - len(file))))
                file[offset : offset + len(content)] = content
            case Directory(inode):
                self.directories[inode] = {}
            case Naming(names):
                for directory, name, named in names:
                    entries = self.directories[directory]
                    entries.pop(name, None)
                    if named is not None:
                        entries[name] = named
            case _:
                pass

    def write_to(self, path: Path, inode: int = _ROOT) -> None:
        path.mkdir()
        for name, child in self.directories.get(inode, {}).items():
            if child in self.directories:
                self.write_to(path / name, child)
            else:
                (path / name).write_bytes(self.files.get(child, b""))


class Recorder:
    """Records what happens below a directory, for the time of a ``with`` block of ``recording``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inodes: dict[Path, int] = {root: _ROOT}
        self._next = 1
        self._descriptors: dict[int, Path] = {}
        self.steps: list[Step] = []
        self._scan(root)
        # What was there before is on the disk.
        self.base = len(self.steps)

    def _scan(self, directory: Path) -> None:
        for path in sorted(directory.iterdir()):
            self._name(path)
            if path.is_dir():
                self.steps.insert(-1, Directory(self._inodes[path]))
                self._scan(path)
            else:
                self.steps.append(Change(self._inodes[path], 0, path.read_bytes()))

    def _name(self, path: Path) -> None:
        self._inodes[path] = self._next
        self._next += 1
        self.steps.append(Naming(((self._inodes[path.parent], path.name, self._inodes[path]),)))

    @contextmanager
    def recording(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in [
                "open",
                "close",
                "pwrite",
                "copy_file_range",
                "ftruncate",
                "fdatasync",
                "fsync",
                "replace",
                "rename",
                "unlink",
                "mkdir",
                "rmdir",
            ]:
                patch.setattr(os, name, self._wrap(name, getattr(os, name)))
            # The store's own name for it: ctypes has none that could be replaced.
            patch.setattr("fs.chunk_store.punch_hole", self._wrap("punch", punch_hole))
            patch.setattr(io, "open", self._open_file)
            yield

    def _open_file(self, name: Any, mode: str = "r", *more: Any, **options: Any) -> IO[Any]:
        """What ``Path.open`` calls; its own writes, and those of ``Path.write_text``, pass by ``os``."""
        if not isinstance(name, Path) or not set(mode) & set("wax+") or self._path(name) is None:
            return _real_open(name, mode, *more, **options)
        raw = _RecordedFile(self, name, mode.replace("b", "").replace("t", ""))
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8")

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        note: Callable[..., None] = getattr(self, f"_note_{name}")

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            note(result, *args, **kwargs)
            return result

        return wrapped

    def _path(self, name: Any, dir_fd: int | None = None) -> Path | None:
        if isinstance(name, int):
            return self._descriptors.get(name)
        path = Path(os.fsdecode(name))
        if dir_fd is not None:
            path = self._descriptors[dir_fd] / path
        return path if path.is_relative_to(self._root) else None

    def _note_open(
        self, result: int, name: Any, flags: int, *_: Any, dir_fd: int | None = None
    ) -> None:
        path = self._path(name, dir_fd)
        if path is None:
            return
        if path not in self._inodes and flags & os.O_CREAT:
            self._name(path)
        self._descriptors[result] = path
        if flags & os.O_TRUNC:
            self.steps.append(Change(self._inodes[path], 0, None))

    def _note_close(self, _: None, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)

    def _change(self, descriptor: int, offset: int, content: bytes | None) -> None:
        path = self._descriptors.get(descriptor)
        if path is not None:
            self.steps.append(Change(self._inodes[path], offset, content))

    def note_write(self, descriptor: int, content: bytes, offset: int) -> None:
        """Something was written that no function of ``os`` was asked for."""
        self._change(descriptor, offset, content)

    def _note_pwrite(self, written: int, descriptor: int, content: Any, offset: int) -> None:
        self._change(descriptor, offset, bytes(content)[:written])

    def _note_copy_file_range(
        self, copied: int, _: int, target: int, __: int, ___: int, offset: int
    ) -> None:
        self._change(target, offset, os.pread(target, copied, offset))

    def _note_ftruncate(self, _: None, descriptor: int, size: int) -> None:
        self._change(descriptor, size, None)

    def _note_punch(self, _: None, descriptor: int, offset: int, length: int) -> None:
        self._change(descriptor, offset, bytes(length))

    def _note_fsync(self, _: None, descriptor: int) -> None:
        path = self._descriptors.get(descriptor)
        if path is not None:
            self.steps.append(Flush(self._inodes[path]))

    _note_fdatasync = _note_fsync

    def _note_replace(self, _: None, source: Any, target: Any) -> None:
        old, new = self._path(source), self._path(target)
        if old is None or new is None:
            return
        moved = {path: i for path, i in self._inodes.items() if path.is_relative_to(old)}
        inode = self._inodes[old]
        self.steps.append(
            Naming(
                (
                    (self._inodes[old.parent], old.name, None),
                    (self._inodes[new.parent], new.name, inode),
                )
            )
        )
        for path, number in moved.items():
            del self._inodes[path]
            self._inodes[new / path.relative_to(old)] = number
        for descriptor, path in self._descriptors.items():
            if path.is_relative_to(old):
                self._descriptors[descriptor] = new / path.relative_to(old)

    _note_rename = _note_replace

    def _note_unlink(self, _: None, name: Any, *, dir_fd: int | None = None) -> None:
        path = self._path(name, dir_fd)
        if path is not None:
            del self._inodes[path]
            self.steps.append(Naming(((self._inodes[path.parent], path.name, None),)))

    _note_rmdir = _note_unlink

    def _note_mkdir(self, _: None, name: Any, *_args: Any) -> None:
        path = self._path(name)
        if path is not None:
            self._name(path)
            self.steps.insert(-1, Directory(self._inodes[path]))


class _RecordedFile(io.FileIO):
    """A file whose writes are recorded, whatever is put on top of it."""

    def __init__(self, recorder: Recorder, path: Path, mode: str) -> None:
        self._recorder = recorder
        super().__init__(path, mode, opener=lambda name, flags: os.open(name, flags, 0o666))

    def write(self, content: Any) -> int:
        offset = self.tell()
        written = super().write(content)
        self._recorder.note_write(self.fileno(), bytes(content)[:written], offset)
        return written


def all_of(steps: list[Step]) -> Image:
    """What the disk holds when nothing is lost."""
    image = Image()
    for step in steps:
        image.apply(step)
    return image


def after_power_loss(steps: list[Step], base: int, randomness: random.Random) -> Image:
    """What the disk may hold when the power fails behind these steps, of which the first ``base`` are old."""
    share = randomness.choice(
        (0.0, 0.5, 1.0)
    )  # of what was not flushed, how much came to the disk all the same
    image = Image()
    for number, step in enumerate(steps):
        if number < base or _is_safe(step, steps[number:]):
            image.apply(step)
        elif randomness.random() < share:
            image.apply(_torn(step, randomness))
    return image


def all_losses_of_names(steps: list[Step], base: int) -> Iterator[Image]:
    """What the disk may hold if all bytes came to it, and of the names that were not safe any that can be."""
    unsafe = [
        number
        for number, step in enumerate(steps)
        if number >= base and isinstance(step, Naming) and not _is_safe(step, steps[number:])
    ]
    for keeping in itertools.product((False, True), repeat=len(unsafe)):
        lost = {number for number, kept in zip(unsafe, keeping, strict=True) if not kept}
        yield all_of([step for number, step in enumerate(steps) if number not in lost])


def _is_safe(step: Step, following: list[Step]) -> bool:
    flushed = {later.inode for later in following if isinstance(later, Flush)}
    match step:
        case Change(inode):
            return inode in flushed
        case Naming(names):
            return any(directory in flushed for directory, _, _ in names)
        case Flush() | Directory():
            return True


def _torn(step: Step, randomness: random.Random) -> Step:
    if isinstance(step, Change) and step.content and randomness.random() < 0.3:
        sectors = randomness.randrange(len(step.content) // _SECTOR + 1)
        return Change(step.inode, step.offset, step.content[: sectors * _SECTOR])
    return step


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if stat.S_ISREG(path.lstat().st_mode)
    }
