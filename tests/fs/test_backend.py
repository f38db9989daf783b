"""What containers notice of the fs server's end, if the kernel shows their layers: nothing, or an error; never zeros."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore

import pytest

from fs.erofs.descriptor_store import STORED_NAME
from fs.mounting import mounts_at
from tests.e2e.leftovers import mounts_under, processes_under
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.fakes.service_manager import ServiceManager
from tests.fs.backends import on_erofs
from tests.fs.conftest import Push
from tests.fs.fs_server import FsServer, PushedLayer, drop_page_cache, read_uncached
from tests.fs.layers_by_hand import HandmadeBlob

pytestmark = [pytest.mark.fuse, pytest.mark.registry, on_erofs]

CONTENT = os.urandom(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
_BY_READ = "import sys, hashlib; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
_BY_MMAP = """
import sys, hashlib, mmap
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
    print(hashlib.sha256(content).hexdigest())
"""


@pytest.fixture
def layer(push: Push) -> PushedLayer:
    """Files for one reader each, which share no chunk, and a program."""
    blob = HandmadeBlob()
    for number, name in enumerate(("read", "mapped", "other")):
        blob.add_file(name, bytes([number]) + CONTENT[1:], chunk_bytes=1 << 20, mode=0o755)
    program = Path(shutil.which("echo") or "").read_bytes()
    blob.add_file("echo", program, mode=0o755)
    return push(blob)


def sha256(number: int) -> str:
    return hashlib.sha256(bytes([number]) + CONTENT[1:]).hexdigest()


class Readers:
    """Processes that read, map and execute what nobody has read before."""

    def __init__(self, directory: Path) -> None:
        python = sys.executable
        self._commands: list[Sequence[str | Path]] = [
            [python, "-c", _BY_READ, directory / "read"],
            [python, "-c", _BY_MMAP, directory / "mapped"],
            ["sh", "-c", 'exec "$0" executed', directory / "echo"],
        ]
        self.running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for command in self._commands
        ]

    def outputs(self) -> list[str]:
        return [process.communicate(timeout=40)[0].strip() for process in self.running]


EXPECTED = [sha256(0), sha256(1), "executed"]


def keepers(fs_server: FsServer) -> list[int]:
    return [
        pid
        for pid, command in processes_under(fs_server.root).items()
        if "fs.erofs.keeper" in command
    ]


@pytest.fixture
def directory(fs_server: FsServer, layer: PushedLayer) -> Path:
    return fs_server.attach(layer)


def test_readers_wait_for_the_successor_of_an_idle_server(
    fs_server: FsServer, directory: Path
) -> None:
    fs_server.kill()
    readers = Readers(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["echo", "mapped", "other", "read"]
    fs_server.start()
    assert readers.outputs() == EXPECTED


def test_what_was_asked_and_not_answered_is_asked_again(
    fs_server: FsServer, directory: Path, proxy: FaultyProxy
) -> None:
    proxy.set_fault(Fault.HELD)
    readers = Readers(directory)
    proxy.wait_held()
    fs_server.kill()
    proxy.set_fault(Fault.NONE)
    fs_server.start()
    assert readers.outputs() == EXPECTED


def test_a_server_is_replaced_while_it_is_read_from(fs_server: FsServer, directory: Path) -> None:
    readers = Readers(directory)
    fs_server.hand_over()
    assert directory.is_dir()
    fs_server.start()
    assert readers.outputs() == EXPECTED


def test_who_waits_can_be_killed(fs_server: FsServer, directory: Path) -> None:
    fs_server.kill()
    readers = Readers(directory)
    for process in readers.running:
        process.kill()
        process.wait(10)
        process.communicate()
    fs_server.start()
    assert Readers(directory).outputs() == EXPECTED


def test_without_a_keeper_readers_fail_and_never_see_zeros(
    fs_server: FsServer, directory: Path, layer: PushedLayer
) -> None:
    (keeper,) = keepers(fs_server)
    fs_server.kill()
    with ThreadPoolExecutor() as threads, (directory / "read").open("rb") as file:
        reading = threads.submit(file.read)
        os.kill(keeper, signal.SIGKILL)
        error = reading.exception(timeout=20)
        assert isinstance(error, OSError)
        assert error.errno == errno.EIO
        fs_server.start()
        with pytest.raises(OSError):  # noqa: PT011 - whatever the kernel says, it is no content
            file.read()
    assert fs_server.attach(layer) == directory
    assert Readers(directory).outputs() == EXPECTED


def start_after_all_were_killed(fs_server: FsServer, manager: ServiceManager) -> None:
    """Kills fs server and keeper, and starts the next life with what the service manager holds."""
    (keeper,) = keepers(fs_server)
    os.kill(fs_server.pid, signal.SIGSTOP)  # or it would replace its keeper
    os.kill(keeper, signal.SIGKILL)
    fs_server.kill()
    held = tuple(os.dup(number) for number in manager.held[STORED_NAME])
    fs_server.start(environment=manager.environment, held=held)
    for number in held:
        os.close(number)


def test_what_the_service_manager_held_is_taken_over(
    fs_server: FsServer, layer: PushedLayer, tmp_path: Path
) -> None:
    """As after a kill of the whole service: nothing of it lives, and a reader waits."""
    fs_server.end()
    with ServiceManager(tmp_path / "notify") as manager:
        fs_server.start(environment=manager.environment)
        manager.wait_stored()
        directory = fs_server.attach(layer)
        os.kill(fs_server.pid, signal.SIGSTOP)
        readers = Readers(directory)
        start_after_all_were_killed(fs_server, manager)
        manager.wait_stored()
        assert readers.outputs() == EXPECTED
        assert len(keepers(fs_server)) == 1
        fs_server.end()
        assert manager.names_held() == set()


class SteadyReaders:
    """Threads that read all of a file again and again, of which the kernel keeps nothing, and check it."""

    def __init__(self, directory: Path, threads: ThreadPoolExecutor) -> None:
        self._directory = directory
        self._stop = Event()
        self._read = Semaphore(0)
        self._running = [threads.submit(self._go_on, number) for number in range(3)]

    def wait_read_on(self) -> None:
        """Returns when as many more files were read as two by each."""
        while self._read.acquire(blocking=False):
            pass  # what was read before
        for _ in range(2 * len(self._running)):
            assert self._read.acquire(timeout=30)

    def stop(self) -> None:
        self._stop.set()
        for running in self._running:
            running.result(30)

    def _go_on(self, number: int) -> None:
        path = self._directory / ("read", "mapped", "other")[number]
        while not self._stop.is_set():
            content = read_uncached(path)
            assert hashlib.sha256(content).hexdigest() == sha256(number)
            self._read.release()


def test_it_is_replaced_under_load(fs_server: FsServer, layer: PushedLayer, tmp_path: Path) -> None:
    """By an upgrade, and after a kill of all processes at once; no reader sees an error, or a wrong byte."""
    fs_server.end()
    with ServiceManager(tmp_path / "notify") as manager, ThreadPoolExecutor(3) as threads:
        fs_server.start(environment=manager.environment)
        readers = SteadyReaders(fs_server.attach(layer), threads)
        try:
            readers.wait_read_on()
            os.kill(fs_server.pid, signal.SIGUSR1)
            assert fs_server.process is not None
            assert fs_server.process.wait(deadline_seconds=15) == 0
            fs_server.end()
            fs_server.start(environment=manager.environment)
            readers.wait_read_on()
            start_after_all_were_killed(fs_server, manager)
            readers.wait_read_on()
        finally:
            readers.stop()


def test_a_keeper_that_dies_alone_is_replaced(fs_server: FsServer, directory: Path) -> None:
    (keeper,) = keepers(fs_server)
    os.kill(keeper, signal.SIGKILL)
    assert fs_server.process is not None
    fs_server.process.wait_for_line("another one holds the connection", deadline_seconds=20)
    fs_server.kill()
    readers = Readers(directory)
    fs_server.start()
    assert readers.outputs() == EXPECTED


def test_a_complete_layer_needs_no_process(
    fs_server: FsServer, directory: Path, layer: PushedLayer
) -> None:
    for path in directory.iterdir():
        path.read_bytes()
    fs_server.attach(layer)
    (keeper,) = keepers(fs_server)
    fs_server.kill()
    os.kill(keeper, signal.SIGKILL)
    drop_page_cache()
    assert Readers(directory).outputs() == EXPECTED
    fs_server.start()
    assert fs_server.attach(layer) == directory
    assert len(mounts_under(fs_server.root / "local")) == 1
    assert mounts_under(fs_server.root / "erofs") == []


def test_a_restart_mounts_nothing_twice(
    fs_server: FsServer, directory: Path, layer: PushedLayer
) -> None:
    before = set(mounts_under(fs_server.root))
    for _ in range(2):
        fs_server.kill()
        fs_server.start()
        assert fs_server.attach(layer) == directory
    assert set(mounts_under(fs_server.root)) == before
    assert len(keepers(fs_server)) == 1
    assert len(mounts_at(fs_server.root / "data")) == 1


def test_fifty_readers_see_the_same(fs_server: FsServer, directory: Path) -> None:
    with ThreadPoolExecutor(50) as threads:
        contents = list(threads.map(Path.read_bytes, [directory / "other"] * 50))
    assert set(map(len, contents)) == {len(CONTENT)}
    assert len(set(contents)) == 1


def test_a_root_too_deep_for_a_keepers_socket_is_served_without(
    fs_server: FsServer, layer: PushedLayer, tmp_path: Path
) -> None:
    fs_server.end()
    fs_server.root = tmp_path / ("d" * 200)
    fs_server.start()
    assert Readers(fs_server.attach(layer)).outputs() == EXPECTED
    assert "no keeper" in fs_server.log
    assert keepers(fs_server) == []
