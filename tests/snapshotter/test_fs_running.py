"""A daemon's fs server: there when it is needed, there when the daemon is not, and gone when it is told."""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fs.filling import FillSettings
from fs.settings import FsSettings, read_settings
from snapshotter import fs_running
from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError, StartupError
from snapshotter.fs_running import (
    check_privileges,
    reload_fs_server,
    running_fs_server,
    stop_daemon,
    stop_fs_server,
    wait_until_gone,
)
from snapshotter.unix_socket import is_listening, listening
from tests.e2e.leftovers import kill_processes_under, mounts_under, unmount_all_under
from tests.snapshotter.test_unix_socket import LISTENER


@pytest.fixture
def settings() -> Iterator[ServeSettings]:
    with tempfile.TemporaryDirectory(prefix="fsr-") as name:
        root = Path(name)
        try:
            yield ServeSettings(address=root / "s.sock", root=root)
        finally:
            kill_processes_under(root)
            unmount_all_under(root)


@pytest.mark.fuse
def test_it_outlives_the_daemon_and_is_told_anew(settings: ServeSettings) -> None:
    changed = replace(settings, fs=FsSettings(filling=FillSettings(prefetch=False)))
    with running_fs_server(settings) as process:
        with running_fs_server(changed):
            assert not read_settings(settings.fs_settings_file).filling.prefetch
        assert is_listening(settings.fs_socket)
    assert settings.fs_log.read_text().count("settings read again") == 1
    stop_fs_server(settings)
    assert mounts_under(settings.root) == []
    assert process._process is not None
    assert process._process.wait(timeout=10) == 0
    stop_fs_server(settings)


def test_a_server_that_is_not_there_is_told_nothing(
    settings: ServeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    reload_fs_server(settings)
    assert "fs server keeps its settings" in caplog.text


def test_a_daemon_that_does_not_end_is_told_of(
    settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_daemon(settings.address)
    command = [sys.executable, "-c", LISTENER, str(settings.address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with listening(settings.address) as process:
            assert process is not None
            monkeypatch.setattr(fs_running, "_STOP_SECONDS", 0.0)
            with pytest.raises(FsServerError, match=f"process {child.pid} does not end"):
                wait_until_gone(process)
        child.kill()


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    check_privileges()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(StartupError, match="root"):
        check_privileges()
