"""Reads files in every way there is, at random but reproducibly, and compares each byte with what it should be.

    python -m tests.random_reader TAR DIRECTORY [--seed N] [--readers N] [--operations N]

Reads what a tar holds from where it is unpacked, or mounted; says the seed and the first difference.
"""

import argparse
import mmap
import os
import random
import sys
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_MAX_READ_BYTES = 300_000
_LARGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Where something else was read."""

    path: str
    how: str
    offset: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.path!r}: {self.how} of {self.size} bytes at {self.offset} gave something else"
        )


def expected_contents(tar: Path) -> dict[str, bytes]:
    """The content of every regular file in a tar that is not empty; hard links are left out."""
    with tarfile.open(tar) as archive:
        members = [member for member in archive if member.isreg() and member.size]
        return {member.name: _content(archive, member) for member in members}


def read_at_random(
    root: Path, contents: Mapping[str, bytes], *, seed: int, operations: int
) -> Difference | None:
    """One reader; gives the first difference that it finds."""
    choose = random.Random(seed)
    # Every second read is of a large file: that is where chunks and windows meet.
    large = sorted(path for path in contents if len(contents[path]) >= _LARGE_BYTES)
    every = sorted(contents)
    for number in range(operations):
        path = choose.choice(large if large and number % 2 else every)
        content = contents[path]
        offset = choose.randrange(len(content))
        size = min(choose.randrange(1, _MAX_READ_BYTES), len(content) - offset)
        how = choose.choice([_pread, _in_small_steps, _mapped])
        if how(root / path, offset, size) != content[offset : offset + size]:
            return Difference(path, how.__name__.strip("_"), offset, size)
    return None


def read_side_by_side(
    root: Path, contents: Mapping[str, bytes], *, seed: int, readers: int, operations: int
) -> list[Difference]:
    """Many readers at once, each with a seed of its own."""
    with ThreadPoolExecutor(readers) as pool:
        found = [
            pool.submit(read_at_random, root, contents, seed=seed + number, operations=operations)
            for number in range(readers)
        ]
        return [difference for one in found if (difference := one.result()) is not None]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _pread(path: Path, offset: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _in_small_steps(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb", buffering=4096) as file:
        file.seek(offset)
        pieces = [file.read(min(10_000, size - done)) for done in range(0, size, 10_000)]
    return b"".join(pieces)


def _mapped(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        return mapped[offset : offset + size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tar", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--operations", type=int, default=1000, help="of each reader")
    options = parser.parse_args()
    differences = read_side_by_side(
        options.directory,
        expected_contents(options.tar),
        seed=options.seed,
        readers=options.readers,
        operations=options.operations,
    )
    sys.exit("\n".join([f"seed {options.seed}", *map(str, differences)]) if differences else 0)


if __name__ == "__main__":
    main()
