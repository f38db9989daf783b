"""Options of ``pyestargz serve``, as the daemon gets them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fs.filling import FillSettings
from fs.log import LogLevel
from fs.settings import FsSettings
from snapshotter import cli, daemon
from snapshotter.commands import serve_options
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.config import ServeSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeSettings]:
    settings: list[ServeSettings] = []

    def serve(given: ServeSettings, read: Callable[[], ServeSettings]) -> int:
        assert read() == given
        settings.append(given)
        return 0

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(serve_options, "DEFAULT_CONFIG", Path("/does/not/exist"))
    monkeypatch.setattr("snapshotter.commands.serve_command.log_to_stderr", lambda _: None)
    return settings


def test_without_options(served: list[ServeSettings]) -> None:
    assert cli.run(["serve"]) == ExitCode.OK
    assert served == [ServeSettings()]


def test_with_all_options(served: list[ServeSettings], tmp_path: Path) -> None:
    words = ["--address", "/run/a.sock", "--root", "/var/lib/r", "--log-level", "debug"]
    assert cli.run(["serve", *words, "--foreground-fs"]) == ExitCode.OK
    expected = ServeSettings(
        address=Path("/run/a.sock"),
        root=Path("/var/lib/r"),
        log_level=LogLevel.DEBUG,
        foreground_fs=True,
        fs=FsSettings(log_level=LogLevel.DEBUG),
    )
    assert served == [expected]


@pytest.mark.usefixtures("served")
def test_keys_without_effect_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "c.toml").write_text("debug = true\nipfs = false\nnoprefetsch = true\n")
    assert cli.run(["serve", "--config", str(tmp_path / "c.toml")]) == ExitCode.OK
    unknown, *idle = caplog.records[-3:]
    fields = [record.__dict__["fields"] for record in (unknown, *idle)]
    assert fields[0] == {"config": str(tmp_path / "c.toml"), "keys": ["noprefetsch"]}
    told = [
        (record.levelname, found["key"]) for record, found in zip(idle, fields[1:], strict=True)
    ]
    assert told == [("WARNING", "debug"), ("INFO", "ipfs")]


def test_a_configuration_file(served: list[ServeSettings], tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("no_background_fetch = true\n")
    assert cli.run(["serve", "--config", str(tmp_path / "c.toml")]) == ExitCode.OK
    assert served == [ServeSettings(fs=FsSettings(filling=FillSettings(background=False)))]


def test_settings_that_cannot_be_used(
    served: list[ServeSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["serve", "--root", "/a:b"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("pyestargz: root: ")
    assert cli.run(["serve", "--log-level", "loud"]) == ExitCode.USAGE
    assert served == []


def test_stopping(served: list[ServeSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[ServeSettings] = []
    monkeypatch.setattr(daemon, "stop", stopped.append)
    assert cli.run(["serve", "--stop"]) == ExitCode.OK
    assert (stopped, served) == ([ServeSettings()], [])
