"""A real fs server whose cache is far too small: what it serves is right, and what it leaves when it is killed."""

import contextlib
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from estargz.verify import VerifiedChunk
from fs.cache_usage import CacheSettings
from fs.chunk_store import ChunkStore
from fs.filling import FillSettings
from fs.layer_directory import LayerDirectories
from fs.layer_source import LayerSource
from fs.settings import Backend, FsSettings
from tests.e2e.logged_process import LoggedProcess
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.fs_server import CHECKOUT, FsServer, read_uncached
from tests.fs.in_process import NOTHING_UNASKED, push
from tests.fs.layers_by_hand import HandmadeBlob

pytestmark = pytest.mark.fuse

LIVES = 3
LAYERS = 3
FILES = 24
MAX_BYTES = 2_000_000  # of three layers with more than 1 MB each
TOO_SMALL = CacheSettings(
    max_bytes=MAX_BYTES, high_share=0.7, low_share=0.4, lease_seconds=0, retry_seconds=0.01
)


def contents(seed: int) -> dict[str, bytes]:
    randomness = random.Random(seed)
    files = {f"f{n}": randomness.randbytes(randomness.randrange(1, 100_000)) for n in range(FILES)}
    return files | {"common": random.Random("all").randbytes(50_000)}


def make(fake: FakeRegistry, files: Mapping[str, bytes]) -> LayerSource:
    blob = HandmadeBlob()
    for name, content in files.items():
        blob.add_file(name, content, chunk_bytes=16384)
    return push(blob, fake)


class Reader:
    """Reads files until it is told to stop, or the mount is gone."""

    def __init__(self, directories: list[Path], seed: int) -> None:
        self._directories = directories
        self._randomness = random.Random(seed)
        self.enough = Event()  # has been read for this life
        self.stop = Event()

    def __call__(self, reads: int) -> None:
        try:
            for number in range(1000 * reads):
                if self.stop.is_set():
                    return
                self._read()
                if number == reads:
                    self.enough.set()
        finally:
            self.enough.set()

    def _read(self) -> None:
        seed = self._randomness.randrange(LAYERS)
        name, content = self._randomness.choice(list(contents(seed).items()))
        with contextlib.suppress(OSError):  # it is being killed
            assert (self._directories[seed] / name).read_bytes() == content


def verify_store(root: Path, source: LayerSource) -> int:
    """Verifies every chunk that counts as present; gives how many there are."""
    directories = LayerDirectories(root)
    image = directories.map_image(source.digest, directories.load_record(source.digest))
    chunks = image.chunks
    store = ChunkStore(directories.path(source.digest), chunks, data_bytes=image.data_bytes)
    missing = set(store.missing(range(len(chunks))))
    for index in set(range(len(chunks))) - missing:
        content = store.read(chunks.data_offsets[index], chunks.sizes[index])
        VerifiedChunk(f"chunk {index}", chunks.digest(index), memoryview(content))
    store.close()
    return len(chunks) - len(missing)


@pytest.mark.parametrize("backend", [Backend.FUSE, Backend.EROFS])
def test_a_cache_that_is_too_small_costs_requests_and_nothing_else(
    tmp_path: Path, fake: FakeRegistry, backend: Backend
) -> None:
    sources = [make(fake, contents(seed)) for seed in range(LAYERS)]
    settings = FsSettings(backend=backend, filling=NOTHING_UNASKED, caching=TOO_SMALL)
    files = [(s, name) for s in range(LAYERS) for name in contents(s)]
    random.Random(1).shuffle(files)
    with FsServer(tmp_path, settings) as server, ThreadPoolExecutor(4) as threads:
        directories = [server.attach(source) for source in sources]
        seen = threads.map(lambda file: read_uncached(directories[file[0]] / file[1]), files)
        for (seed, name), content in zip(files, seen, strict=True):
            assert content == contents(seed)[name]
        cache = server.statistics().cache
    assert cache.evicted_bytes > 0
    assert cache.used_bytes <= MAX_BYTES


def test_what_a_killed_server_leaves_is_right(tmp_path: Path, fake: FakeRegistry) -> None:
    sources = [make(fake, contents(seed)) for seed in range(LAYERS)]
    settings = FsSettings(
        backend=Backend.FUSE,
        filling=FillSettings(quiet_seconds=0.0),
        caching=TOO_SMALL,
    )
    verified = evicted = 0
    with FsServer(tmp_path, settings) as server, ThreadPoolExecutor(2) as threads:
        for life in range(LIVES):
            directories = [server.attach(source) for source in sources]
            readers = [Reader(directories, 10 * life + number) for number in range(2)]
            running = [threads.submit(reader, 5 + 15 * life) for reader in readers]
            for reader in readers:
                assert reader.enough.wait(20)
            evicted += server.statistics().cache.evicted_bytes
            server.kill()
            for reader in readers:
                reader.stop.set()
            for done in running:
                done.result(20)
            verified += sum(verify_store(server.root / "layers", source) for source in sources)
            server.start()
    assert verified > 0
    assert evicted > 0


# Reads, maps and executes, always what the kernel has just forgotten, and says so after each round.
_RESTLESS = """
import hashlib, itertools, json, mmap, os, subprocess, sys
directory, expected = sys.argv[1], json.loads(sys.argv[2])
def forget(name):
    with open(os.path.join(directory, name), "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
def check(how, name, content):
    if hashlib.sha256(content).hexdigest() != expected[name]:
        sys.exit(f"wrong bytes of {name} by {how}")
for number in itertools.count(1):
    for name in expected:
        forget(name)
        with open(os.path.join(directory, name), "rb", buffering=0) as file:
            check("read", name, file.read())
            forget(name)
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
                check("mmap", name, content)
    forget("echo")
    said = subprocess.run([os.path.join(directory, "echo"), "x"], stdout=subprocess.PIPE).stdout
    if said != b"x\\n":
        sys.exit(f"the program said {said}")
    print("round", number, flush=True)
"""


class RestlessReader:
    """A process that reads a layer until it is stopped, or sees an error."""

    def __init__(self, directory: Path, files: Mapping[str, bytes]) -> None:
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        command: list[str | Path] = [sys.executable, "-c", _RESTLESS, directory, json.dumps(sums)]
        self._process = LoggedProcess(command)
        self._rounds = 0

    def wait_round(self) -> None:
        """Returns when everything has been read once more."""
        self._rounds = sum("round" in line for line in self._process.lines())
        self._process.wait_for_line(f"^round {self._rounds + 1}$", deadline_seconds=40)

    def stop(self) -> None:
        assert self._process.is_running, self._process.tail()
        self._process.stop()
        self._process.join_log()


def kill(server: FsServer, work: Path) -> None:
    server.kill()


def upgrade(server: FsServer, work: Path) -> None:
    """Another installation takes over."""
    for package in ("estargz", "fs", "registry"):
        shutil.copytree(CHECKOUT / package, work / package, dirs_exist_ok=True)
    server.checkout = work
    server.hand_over()


@pytest.fixture
def program(fake: FakeRegistry) -> LayerSource:
    """A layer with files to read, and a program."""
    blob = HandmadeBlob()
    for name, content in contents(1).items():
        blob.add_file(name, content, chunk_bytes=16384)
    echo = Path(shutil.which("echo") or "").read_bytes()
    blob.add_file("echo", echo, chunk_bytes=16384, mode=0o755)
    return push(blob, fake)


def test_readers_notice_nothing_of_servers_that_come_and_go(
    tmp_path: Path, fake: FakeRegistry, program: LayerSource
) -> None:
    (tmp_path / "upgrade").mkdir()
    # Too small for the layer: content is fetched, evicted and fetched again all the time.
    caching = replace(TOO_SMALL, max_bytes=MAX_BYTES // 3)
    settings = FsSettings(backend=Backend.EROFS, filling=NOTHING_UNASKED, caching=caching)
    with FsServer(tmp_path, settings) as server:
        directory = server.attach(program)
        readers = [RestlessReader(directory, contents(1)) for _ in range(2)]
        for number, end in enumerate((kill, upgrade, kill, kill)):
            readers[number % 2].wait_round()
            end(server, tmp_path / "upgrade")
            server.start()
        for reader in readers:
            reader.wait_round()
            reader.stop()
        assert server.status(program).verify_failures == 0
        assert server.status(program).fetched_bytes > 0


def test_what_had_come_by_half_is_asked_for_again(
    tmp_path: Path, fake: FakeRegistry, program: LayerSource
) -> None:
    settings = FsSettings(backend=Backend.EROFS, filling=NOTHING_UNASKED)
    with FsServer(tmp_path, settings) as server:
        directory = server.attach(program)
        fake.faults.inject(Fault.STALLED, times=1000)
        reader = RestlessReader(directory, contents(1))
        fake.faults.wait_stalled()
        server.kill()
        fake.faults.clear()
        server.start()
        reader.wait_round()
        reader.stop()
