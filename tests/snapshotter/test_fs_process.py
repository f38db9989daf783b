"""Starting the fs server: once, detached, and with an answer when it fails."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.settings import FsSettings, write_settings
from snapshotter import fs_process
from snapshotter.errors import FsServerError
from snapshotter.fs_client import FsClient
from snapshotter.fs_process import FsProcess, FsProcessSettings
from snapshotter.unix_socket import is_listening, listening
from tests.e2e.leftovers import kill_processes_under, unmount_all_under


@pytest.fixture
def settings() -> Iterator[FsProcessSettings]:
    with tempfile.TemporaryDirectory(prefix="fsp-") as name:
        root = Path(name)
        try:
            write_settings(root / "fs.json", FsSettings())
            yield FsProcessSettings(
                root=root / "stargz",
                socket=root / "fs.sock",
                log=root / "fs.log",
                settings_file=root / "fs.json",
            )
        finally:
            kill_processes_under(root)
            unmount_all_under(root)


def stop(process: FsProcess, settings: FsProcessSettings) -> None:
    with listening(settings.socket) as server:
        assert server is not None
        with FsClient(settings.socket, lambda: False) as client:
            client.stop()
        assert server.wait(timeout_seconds=20)
    assert process._process is not None
    assert process._process.wait(timeout=20) == 0


@pytest.mark.fuse
def test_it_is_started_once(settings: FsProcessSettings) -> None:
    process = FsProcess(settings)
    assert process.ensure_running()
    assert not process.ensure_running()
    assert not FsProcess(settings).ensure_running()
    with listening(settings.socket) as server:
        assert server is not None
        assert os.getsid(server.pid) == server.pid
        assert os.getpgid(server.pid) != os.getpgid(0)
    stop(process, settings)
    assert '"msg":"fs server ready"' in settings.log.read_text().replace('": "', '":"')
    assert settings.log.stat().st_mode & 0o777 == 0o600


@pytest.mark.fuse
def test_it_is_started_again_when_it_ended(
    settings: FsProcessSettings, caplog: pytest.LogCaptureFixture
) -> None:
    process = FsProcess(settings)
    assert process.ensure_running()
    stop(process, settings)
    assert process.ensure_running()
    assert any(record.levelname == "ERROR" for record in caplog.records)
    stop(process, settings)


def test_what_it_says_before_it_fails_is_told(settings: FsProcessSettings) -> None:
    settings.root.write_text("not a directory")
    process = FsProcess(settings)
    with pytest.raises(FsServerError, match="stargz"):
        process.ensure_running()
    assert process._process is not None
    assert process._process.wait(timeout=20) == 1


def test_it_dies_without_a_word(
    settings: FsProcessSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    process = FsProcess(settings)
    with pytest.raises(FsServerError, match=r"died while starting; see .*fs\.log"):
        process.ensure_running()
    assert process._process is not None
    process._process.wait(timeout=20)


def test_it_takes_too_long(settings: FsProcessSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    program = settings.log.with_name("slow")
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(fs_process, "_START_SECONDS", 0.1)
    process = FsProcess(settings)
    with pytest.raises(FsServerError, match="not ready"):
        process.ensure_running()
    assert process._process is not None
    assert process._process.wait(timeout=20) == -9


def test_it_cannot_be_started(settings: FsProcessSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(FsServerError, match="cannot be started"):
        FsProcess(settings).ensure_running()
    assert not is_listening(settings.socket)
