import os
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fs.erofs import keeper
from fs.erofs.keeper import Kept
from tests.e2e.leftovers import processes_under, wait_for_exit


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "keeper"
    keeper.start(path)
    yield path
    pids = processes_under(tmp_path)
    keeper.end(path)
    assert wait_for_exit(pids, deadline_seconds=10)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_what_is_kept_outlives_who_had_it(path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    keeper.keep(path, Kept(writing, b"state"))
    os.close(writing)
    for _ in range(2):  # it keeps what it gives
        kept = keeper.kept(path)
        assert kept is not None
        assert kept.state == b"state"
        assert not os.get_inheritable(kept.descriptor)
        os.write(kept.descriptor, b"x")
        os.close(kept.descriptor)
        assert os.read(reading, 10) == b"x"
    keeper.end(path)
    assert os.read(reading, 10) == b""
    assert not path.exists()


def test_the_last_that_came_is_kept(path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    keeper.keep(path, Kept(writing, b"first"))
    os.close(writing)
    with open(os.devnull, "rb") as other:  # noqa: PTH123 - any descriptor
        keeper.keep(path, Kept(other.fileno(), b"second"))
    assert os.read(reading, 1) == b""
    kept = keeper.kept(path)
    assert kept is not None
    assert kept.state == b"second"
    os.close(kept.descriptor)


def test_a_new_keeper_has_nothing(path: Path) -> None:
    assert keeper.kept(path) is None


def test_nonsense_does_not_end_it(path: Path) -> None:
    with keeper._connected(path) as talking:
        talking.send(b"?")
    with keeper._connected(path) as talking:
        talking.send(b"K without a descriptor")
        assert talking.recv(1) == b"D"
    assert keeper.kept(path) is None


def test_its_end_is_seen_by_the_last_that_watches(path: Path) -> None:
    first, second = keeper.watch(path), keeper.watch(path)
    assert first is not None
    assert second is not None
    with first, second:
        assert select.select([first], [], [], 20)[0] == [first]
        assert select.select([second], [], [], 0)[0] == []
        keeper.end(path)
        assert select.select([second], [], [], 20)[0] == [second]


def test_one_that_does_not_answer_cannot_be_watched(tmp_path: Path) -> None:
    path = tmp_path / "keeper"
    assert keeper.watch(path) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        with ThreadPoolExecutor() as threads:
            watching = threads.submit(keeper.watch, path)
            listening.accept()[0].close()
            assert watching.result(20) is None


def test_no_keeper_holds_nothing(tmp_path: Path) -> None:
    assert keeper.kept(tmp_path / "absent") is None
    keeper.end(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        keeper.keep(tmp_path / "absent", Kept(0, b""))
