"""What the service manager is told, and what it gives back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fs import service_manager
from tests.fakes.service_manager import ServiceManager

_TAKES = """
import os
from fs.service_manager import take_held
environment = dict(os.environ, LISTEN_PID=str(os.getpid()))
held = take_held("wanted", environment)
print(held, [os.get_inheritable(number) for number in held], sorted(environment.keys() & {"LISTEN_FDS"}))
for number in (3, 4, 5):
    try:
        os.fstat(number)
    except OSError:
        print("closed", number)
"""


def test_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not service_manager.is_there()
    service_manager.tell("READY=1")


def test_it_is_told_and_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with ServiceManager(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        assert service_manager.is_there()
        service_manager.tell("FDSTORE=1\nFDNAME=pipe", [writing])
        os.close(writing)
        manager.wait_stored()
        service_manager.tell("READY=1")
        assert manager.next_state() == "READY=1"
        os.write(manager.held["pipe"][0], b"x")
        assert os.read(reading, 2) == b"x"
        service_manager.tell("FDSTOREREMOVE=1\nFDNAME=pipe")
        assert os.read(reading, 1) == b""
    os.close(reading)


def test_descriptors_of_another_name_are_closed() -> None:
    """They have fixed numbers, so a process of its own takes them."""
    program = f"""
import os, sys
source = os.open(os.devnull, os.O_RDONLY)
for number in (3, 4, 5):
    os.dup2(source, number) if number != source else os.set_inheritable(source, True)
os.environ.update(LISTEN_FDS="3", LISTEN_FDNAMES="wanted:other:wanted")
os.execv(sys.executable, [sys.executable, "-c", {_TAKES!r}])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "(3, 5) [False, False] []\nclosed 4\n"


@pytest.mark.parametrize(
    "told", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}], ids=["nothing", "for another process"]
)
def test_what_is_not_for_this_process_is_left_alone(told: dict[str, str]) -> None:
    assert service_manager.take_held("wanted", told) == ()
