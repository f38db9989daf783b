"""The command line: ``pyestargz COMMAND``.

Commands raise domain errors; here, and only here, they become one line on stderr and an exit code.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

import click
from click.shell_completion import get_completion_class

from snapshotter.commands.cat_command import cat
from snapshotter.commands.config_command import config
from snapshotter.commands.convert_command import convert
from snapshotter.commands.doctor_command import doctor
from snapshotter.commands.exit_codes import ExitCode, exit_code_of
from snapshotter.commands.inspect_command import inspect
from snapshotter.commands.ls_command import ls
from snapshotter.commands.optimize_command import optimize
from snapshotter.commands.serve_command import serve
from snapshotter.commands.status_command import status
from snapshotter.commands.store_command import store
from snapshotter.commands.verify_command import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(
    package_name="pyestargz", prog_name="pyestargz", message="%(prog)s %(version)s"
)
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def pyestargz(*, debug: bool) -> None:
    """Starts containers before their image has arrived, and makes images that can be started so."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Prints a script that teaches SHELL to complete this command.

    For bash: pyestargz completion bash > /etc/bash_completion.d/pyestargz
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"{shell} is not supported")
    click.echo(kind(pyestargz, {}, "pyestargz", "_PYESTARGZ_COMPLETE").source())


pyestargz.add_command(convert)
pyestargz.add_command(optimize)
pyestargz.add_command(inspect)
pyestargz.add_command(verify)
pyestargz.add_command(ls)
pyestargz.add_command(cat)
pyestargz.add_command(serve)
pyestargz.add_command(store)
pyestargz.add_command(config)
pyestargz.add_command(status)
pyestargz.add_command(doctor)
pyestargz.add_command(completion)


class WarningLine(logging.Formatter):
    """What the library warns of, as people read it: one line. ``serve`` logs JSON instead."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        told = ", ".join(f"{name}: {value}" for name, value in fields.items())
        line = f"pyestargz: {record.levelname.lower()}: {record.getMessage()}"
        return f"{line} ({told})" if told else line


def main() -> None:
    """Runs the command line of this process, and ends the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WarningLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code."""
    try:
        code = pyestargz.main(list(arguments), prog_name="pyestargz", standalone_mode=False)
    except click.ClickException as error:
        click.echo(_usage_line(error), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as error:
        leaf = _first_leaf(error)
        if isinstance(leaf, BrokenPipeError):
            return _stop_writing()
        foreseen = exit_code_of(leaf)
        if "--debug" in arguments or foreseen is None:
            raise
        click.echo("\n".join(f"pyestargz: {line}" for line in _lines(error)), err=True)
        return foreseen
    return code if isinstance(code, int) else ExitCode.OK


def _stop_writing() -> int:
    """Whoever read our output has seen enough, as ``head`` does: no error, but Python must not write the rest at its end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted, not a path
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return ExitCode.FAILED


def _usage_line(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return f"pyestargz: {message}"
    # The sentence continues in parentheses.
    path = context.command_path
    return f"{path}: {message.removesuffix('.')} (see '{path} --help')"


def _first_leaf(error: BaseException) -> BaseException:
    return next(_leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What a nursery collected, one by one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _lines(error: BaseException) -> Iterator[str]:
    for leaf in _leaves(error):
        yield str(leaf).replace("\n", " ") or type(leaf).__name__


if __name__ == "__main__":
    main()
