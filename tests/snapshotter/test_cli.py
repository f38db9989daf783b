import logging
import subprocess
import sys

import pytest

from snapshotter.cli import WarningLine, run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["convert"],
            "pyestargz convert: Missing argument 'SOURCE' (see 'pyestargz convert --help')",
        ),
        ([], "pyestargz: Missing command (see 'pyestargz --help')"),
        (["nothing"], "pyestargz: No such command 'nothing' (see 'pyestargz --help')"),
        (
            ["serve", "--config", "/x.toml"],
            "pyestargz serve: Invalid value for '--config': File '/x.toml' does not exist (see 'pyestargz serve --help')",
        ),
    ],
)
def test_a_usage_error_is_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_PYESTARGZ_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snapshotter.cli"],
        env={
            "_PYESTARGZ_COMPLETE": "bash_complete",
            "COMP_WORDS": "pyestargz ins",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "inspect" in done.stdout


def test_warnings_are_lines_for_people() -> None:
    record = logging.makeLogRecord({"msg": "mirror failed", "levelname": "WARNING"})
    assert WarningLine().format(record) == "pyestargz: warning: mirror failed"
    record.fields = {"endpoint": "http://m.io", "error": "m.io (503)"}
    line = "pyestargz: warning: mirror failed (endpoint: http://m.io, error: m.io (503))"
    assert WarningLine().format(record) == line
