"""``pyestargz config``: what a daemon with these options would do, and who said so."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from fs.log import LogLevel
from snapshotter.commands.serve_options import ServeOptions, place_options, settings_options
from snapshotter.config_file import ConfigFile
from snapshotter.config_keys import KEYS

_COMMENT_COLUMN = 48


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting.

    Attributes:
        origin: ``default``, ``file`` or ``option``.
        effect: what it does here, or, in parentheses, why it does nothing.
    """

    name: str
    value: bool | int | str | dict[str, Any]
    origin: str
    effect: str


@click.command()
@place_options
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def config(
    context: click.Context,
    *,
    address: Path,
    root: Path,
    config: Path | None,
    log_level: str,
    as_json: bool,
) -> None:
    """Prints the settings that `pyestargz serve` has with the same options, and where each comes from.

    The output is itself a configuration file. It fails where `serve` would.
    """
    options = ServeOptions(address, root, config, LogLevel(log_level))
    file = options.read_file()
    options.settings(file)
    given = [
        EffectiveSetting(f"--{name.replace('_', '-')}", str(value), _origin(context, name), "")
        for name, value in (("address", address), ("root", root), ("log_level", log_level))
    ]
    settings = list(effective_settings(file))
    if as_json:
        click.echo(json.dumps(_document(file, given, settings), indent=2))
    else:
        click.echo("\n".join(_lines(file, given, settings)))


def effective_settings(file: ConfigFile) -> Iterator[EffectiveSetting]:
    """Every known key, with the value that holds."""
    for name, key in KEYS.items():
        origin = "file" if name in file.values else "default"
        effect = key.meaning or f"(no effect: {key.idle})"
        yield EffectiveSetting(name, key.shown(file.get(name)), origin, effect)


def _origin(context: click.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return "option" if source is click.core.ParameterSource.COMMANDLINE else "default"


def _document(
    file: ConfigFile, options: list[EffectiveSetting], settings: list[EffectiveSetting]
) -> dict[str, Any]:
    return {
        "config": None if file.path is None else str(file.path),
        "options": [asdict(setting) for setting in options],
        "settings": [asdict(setting) for setting in settings],
        "unknown": list(file.unknown),
    }


def _lines(
    file: ConfigFile, options: list[EffectiveSetting], settings: list[EffectiveSetting]
) -> Iterator[str]:
    yield f"# file: {file.path or 'none'}"
    for option in options:
        yield f"# {option.name}={option.value} ({option.origin})"
    for name in file.unknown:
        yield f"# unknown key in {file.path}: {name}"
    table = ""
    # Keys of the top level come first: in TOML nothing but a table ends a table.
    for setting in sorted(settings, key=lambda setting: setting.name.rpartition(".")[0]):
        parent, _, key = setting.name.rpartition(".")
        if parent != table:
            yield f"\n[{parent}]"
            table = parent
        yield f"{f'{key} = {_toml(setting.value)}':<{_COMMENT_COLUMN}} # {setting.origin}; {setting.effect}"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and truth are written alike
