"""``pyestargz config``: its output is a configuration file that means the same."""

import json
import tomllib
from pathlib import Path

import pytest

from snapshotter import cli
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.config_file import read_config
from snapshotter.config_keys import KEYS

_TEXT = 'noprefetch = true\nnoprefetsch = 1\nmetrics_address = "127.0.0.1:9000"\n[blob]\nmax_retries = 9\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(_TEXT)
    return path


def test_it_prints_a_file_that_means_the_same(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config", "--config", str(path), "--root", "/var/lib/r"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert f"# unknown key in {path}: noprefetsch" in printed.splitlines()
    assert "# --root=/var/lib/r (option)" in printed.splitlines()
    assert tomllib.loads(printed)["blob"]["max_retries"] == 9
    before = read_config(path)
    path.write_text(printed)
    again = read_config(path)
    assert again.unknown == ()
    assert {name: again.get(name) for name in KEYS} == {name: before.get(name) for name in KEYS}


def test_json_tells_where_each_value_comes_from(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config", "--config", str(path), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["config"], document["unknown"]) == (str(path), ["noprefetsch"])
    settings = {setting["name"]: setting for setting in document["settings"]}
    assert settings.keys() == KEYS.keys()
    assert (settings["noprefetch"]["value"], settings["noprefetch"]["origin"]) == (True, "file")
    assert (settings["prefetch_size"]["value"], settings["prefetch_size"]["origin"]) == (
        0,
        "default",
    )
    assert settings["debug"]["effect"].startswith("(no effect: ")
    assert {option["name"]: option["origin"] for option in document["options"]}[
        "--root"
    ] == "default"


def test_what_serve_refuses_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text('metrics_address = "9000"\n')
    assert cli.run(["config", "--config", str(path)]) == ExitCode.USAGE
    assert "metrics_address: '9000' is not host:port" in capsys.readouterr().err
