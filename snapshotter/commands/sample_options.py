"""The options of ``pyestargz optimize`` that say how the image is run, named as ctr-remote names them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from snapshotter.commands.image_options import safe_name
from snapshotter.sampling.sample_spec import RunOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PERIOD_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleArguments:
    """What the options of ``sample_options`` were given.

    Attributes:
        snapshotter: what unpacks the image there.
        run: what is run in it.
        period_seconds: for how long at most.
        wait_on_line: until a line contains this; empty to wait for none.
        record_out: where the record goes; None for nowhere.
    """

    snapshotter: str
    run: RunOptions
    period_seconds: float
    wait_on_line: str
    record_out: Path | None


def take_sample_arguments(arguments: dict[str, Any], command: Sequence[str]) -> SampleArguments:
    """Takes what belongs to these options out of a command's arguments."""
    given = {name: arguments.pop(name) for name in _NAMES}
    run = RunOptions(
        entrypoint=given["entrypoint"],
        command=tuple(command),
        env=given["env"],
        cwd=given["cwd"],
        user=given["user"],
        host_network=given["net_host"],
    )
    return SampleArguments(
        snapshotter=given["containerd_snapshotter"],
        run=run,
        period_seconds=given["period"],
        wait_on_line=given["wait_on_line"],
        record_out=given["record_out"],
    )


def sample_options(command: _Command) -> _Command:
    """Adds the options; the command gives its arguments to ``take_sample_arguments``."""
    for option in reversed(list(_OPTIONS.values())):
        command = option(command)
    return command


def _words(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """A program, or a JSON array of it and its first arguments."""
    if text is None or not text.startswith("["):
        return None if text is None else tuple(filter(None, [text]))
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"not a JSON array of strings: {error}") from None


def _variables(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    for text in texts:
        if text.partition("=")[0] in {"", text}:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    return texts


def _absolute(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if text and not text.startswith("/"):
        raise click.BadParameter(f"{text!r} is not an absolute path")
    return text


_OPTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "containerd_snapshotter": click.option(
        "--snapshotter",
        "containerd_snapshotter",
        default="overlayfs",
        show_default=True,
        callback=safe_name,
        help="What unpacks the image there; it must mount with overlayfs.",
    ),
    "period": click.option(
        "--period",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True, max=86400),
        default=_PERIOD_SECONDS,
        show_default=True,
        help="How long the image may run.",
    ),
    "wait_on_line": click.option(
        "--wait-on-line", metavar="TEXT", default="", help="End it when it prints a line with TEXT."
    ),
    "entrypoint": click.option(
        "--entrypoint",
        metavar="PROGRAM",
        callback=_words,
        help="Run this instead of the image's entry point; or a JSON array of words.",
    ),
    "env": click.option(
        "--env",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_variables,
        help="Set a variable; may be repeated.",
    ),
    "cwd": click.option(
        "--cwd", metavar="DIRECTORY", default="", callback=_absolute, help="Where to run it."
    ),
    "user": click.option(
        "--user", metavar="USER[:GROUP]", default="", help="Who runs it, by name or number."
    ),
    "net_host": click.option(
        "--net-host", is_flag=True, help="Give it this machine's network instead of none."
    ),
    "record_out": click.option(
        "--record-out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also write what was recorded to this file.",
    ),
}
_NAMES: Final = tuple(_OPTIONS)
