"""What options and a configuration file come to."""

from dataclasses import replace
from pathlib import Path

import pytest

from fs.log import LogLevel
from snapshotter.commands.serve_options import ServeOptions
from snapshotter.config_file import ConfigFile
from snapshotter.errors import ConfigError

OPTIONS = ServeOptions(Path("/run/a.sock"), Path("/var/lib/r"), None, LogLevel.DEBUG)


def test_the_usual_file_is_read_if_it_is_there(tmp_path: Path) -> None:
    options = replace(OPTIONS, default_config=tmp_path / "config.toml")
    assert options.read_file() == ConfigFile()
    (tmp_path / "config.toml").write_text("noprefetch = true\n")
    assert options.read_file().path == tmp_path / "config.toml"
    assert not options.settings(options.read_file()).fs.filling.prefetch


def test_options_and_file_together() -> None:
    values = {"debug_address": "/run/debug.sock", "metrics_address": "[::1]:0"}
    settings = OPTIONS.settings(ConfigFile(Path("/c"), values))
    assert (settings.address, settings.root) == (OPTIONS.address, OPTIONS.root)
    assert (settings.log_level, settings.fs.log_level) == (LogLevel.DEBUG, LogLevel.DEBUG)
    assert (settings.debug_address, str(settings.metrics_address)) == (
        Path("/run/debug.sock"),
        "[::1]:0",
    )


def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigError, match="debug_address"):
        OPTIONS.settings(ConfigFile(Path("/c"), {"debug_address": "/run/a.sock"}))
