from pathlib import Path
from typing import Any

import click
import pytest

from snapshotter.commands.sample_options import (
    SampleArguments,
    sample_options,
    take_sample_arguments,
)
from snapshotter.sampling.sample_spec import RunOptions


@click.command()
@click.option("--other", is_flag=True)
@sample_options
def _command(**arguments: Any) -> tuple[SampleArguments, dict[str, Any]]:
    return take_sample_arguments(arguments, ["x"]), arguments


def _parse(*words: str) -> SampleArguments:
    taken, rest = _command.main(list(words), standalone_mode=False)
    assert rest == {"other": False}
    assert isinstance(taken, SampleArguments)
    return taken


def test_defaults() -> None:
    assert _parse() == SampleArguments(
        snapshotter="overlayfs",
        run=RunOptions(command=("x",)),
        period_seconds=10,
        wait_on_line="",
        record_out=None,
    )


def test_every_option() -> None:
    assert _parse(
        *("--snapshotter", "stargz"),
        *("--entrypoint", '["a", "b c"]', "--env", "A=1", "--env", "B=", "--cwd", "/w"),
        *("--user", "u:g", "--net-host", "--period", "1.5", "--wait-on-line", "up"),
        *("--record-out", "record"),
    ) == SampleArguments(
        snapshotter="stargz",
        run=RunOptions(
            entrypoint=("a", "b c"),
            command=("x",),
            env=("A=1", "B="),
            cwd="/w",
            user="u:g",
            host_network=True,
        ),
        period_seconds=1.5,
        wait_on_line="up",
        record_out=Path("record"),
    )


def test_an_entry_point_in_one_word_and_none() -> None:
    assert _parse("--entrypoint", "/bin/a b").run.entrypoint == ("/bin/a b",)
    assert _parse("--entrypoint", "").run.entrypoint == ()


@pytest.mark.parametrize(
    "words",
    [
        ("--entrypoint", "[1]"),
        ("--env", "A"),
        ("--env", "=1"),
        ("--cwd", "w"),
        ("--period", "0"),
        ("--snapshotter", ""),
    ],
)
def test_what_is_refused(words: tuple[str, str]) -> None:
    with pytest.raises(click.BadParameter):
        _parse(*words)
