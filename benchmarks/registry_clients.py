"""Two clients that read the same ranges of a blob: ours, and curl."""

import os
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from registry.client import ClientSettings, RegistryClient
from registry.digest import Digest
from registry.reference import Repository

_REPOSITORY = "bench/image"
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Timing:
    """What one client took for some ranges: wall clock and its own CPU."""

    ranges: int
    seconds: float
    cpu_seconds: float


class Blob:
    """A blob of so many mebibytes in a directory that nginx serves as a registry would."""

    def __init__(self, directory: Path, *, pieces: int) -> None:
        data = os.urandom(_PIECE_BYTES) * pieces
        self.size = len(data)
        self.digest = Digest.of(data)
        self.path = f"/v2/{_REPOSITORY}/blobs/{self.digest}"
        file = directory / self.path.removeprefix("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(data)

    def choose_ranges(self, size: int, count: int, *, seed: int) -> list[tuple[int, int]]:
        """Starts and lengths, at random but the same for everybody."""
        chance = random.Random(seed)  # noqa: S311 - picks places, hides nothing
        return [(chance.randrange(self.size - size), size) for _ in range(count)]


def read_by_us(
    host: str, digest: Digest, ranges: Sequence[tuple[int, int]], concurrency: int
) -> Timing:
    """The ranges by a client of ours, connections and all, but not its start."""

    async def read() -> Timing:
        repository = Repository(host, _REPOSITORY)
        left = iter(ranges)

        async def read_some(client: RegistryClient) -> None:
            for start, length in left:
                async with client.stream_range(
                    repository, digest, start=start, length=length
                ) as pieces:
                    async for _ in pieces:
                        pass

        async with RegistryClient(ClientSettings()) as client:
            began, cpu = time.perf_counter(), time.process_time()
            async with trio.open_nursery() as nursery:
                for _ in range(concurrency):
                    nursery.start_soon(read_some, client)
            return Timing(len(ranges), time.perf_counter() - began, time.process_time() - cpu)

    return trio.run(read)


def read_by_curl(
    url: str,
    ranges: Sequence[tuple[int, int]],
    concurrency: int,
    *,
    options: Sequence[str] = ("http1.1",),
) -> Timing:
    """The same ranges by one curl process, its start not counted."""
    with tempfile.NamedTemporaryFile("w", suffix=".curlrc") as config:
        # An option is for the one transfer it stands with.
        also = "\n".join(options)
        config.write(
            "next\n".join(
                f'url = "{url}"\nrange = "{start}-{start + length - 1}"\noutput = "/dev/null"\n{also}\n'
                for start, length in ranges
            )
        )
        config.flush()
        command = ["curl", "--disable", "--fail-early", "--config", config.name]
        if concurrency > 1:
            command += ["--parallel", "--parallel-immediate", "--parallel-max", str(concurrency)]
        start_seconds = _seconds_of(["curl", "--disable", "--version"])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = _seconds_of(command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return Timing(len(ranges), max(seconds - start_seconds, 1e-6), cpu)


def _seconds_of(command: Sequence[str]) -> float:
    began = time.perf_counter()
    silence = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=silence, stderr=silence, timeout=120)
    return time.perf_counter() - began
