"""Options of ``pyestargz serve``, as the daemon gets them."""

from pathlib import Path

import pytest

from fs.filling import FillSettings
from fs.log import LogLevel
from snapshotter import cli, daemon
from snapshotter.config import ServeSettings
from snapshotter.exit_codes import ExitCode


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeSettings]:
    settings: list[ServeSettings] = []

    def serve(given: ServeSettings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr("snapshotter.serve_command.log_to_stderr", lambda _: None)
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
    )
    assert served == [expected]


@pytest.mark.usefixtures("served")
def test_keys_without_effect_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.toml").write_text("debug = true\n")
    assert cli.run(["serve", "--config", str(tmp_path / "c.toml")]) == ExitCode.OK
    assert caplog.records[-1].__dict__["fields"]["keys"] == ["debug"]


def test_a_configuration_file(served: list[ServeSettings], tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("no_background_fetch = true\n")
    assert cli.run(["serve", "--config", str(tmp_path / "c.toml")]) == ExitCode.OK
    assert served == [ServeSettings(filling=FillSettings(background=False))]


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
