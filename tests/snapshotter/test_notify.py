"""Telling systemd."""

import re
import socket
import tempfile
from pathlib import Path

import pytest

from snapshotter.notify import notify, notify_reloading


def test_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_somebody_is_told(monkeypatch: pytest.MonkeyPatch, *, abstract: bool) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        path = str(Path(name) / "notify")
        listening.bind("\0" + path if abstract else path)
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path if abstract else path)
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"
        notify_reloading()
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[0-9]+", listening.recv(100))
