"""Every foreseen error has a documented exit code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from estargz.errors import EstargzError
from fs.errors import FsError
from registry.errors import ContentError
from snapshotter.commands.exit_codes import ExitCode, exit_code_of
from snapshotter.errors import CommandError, SnapshotterError


def _subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


@pytest.mark.parametrize(
    "base", [SnapshotterError, CommandError, EstargzError, FsError, ContentError, OSError]
)
def test_every_error_has_a_code(base: type[Exception]) -> None:
    for kind in _subclasses(base):
        code = exit_code_of(kind.__new__(kind))
        assert code is not None
        assert code not in (ExitCode.OK, ExitCode.INTERRUPTED)


def test_an_unforeseen_error_has_none() -> None:
    assert exit_code_of(ZeroDivisionError()) is None


def test_every_code_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| `(\d+)` \|", text, re.MULTILINE)}
    assert documented == set(ExitCode)
