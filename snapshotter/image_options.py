"""Options that several commands about images have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from registry.manifest import Platform
from registry.platforms import parse_platform

_Command = TypeVar("_Command", bound=Callable[..., Any])


class PlatformType(click.ParamType[Platform]):
    """``OS/ARCHITECTURE[/VARIANT]``."""

    name = "OS/ARCH[/VARIANT]"

    def convert(
        self,
        value: str | Platform,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Platform:
        """See ``click.ParamType``."""
        if isinstance(value, Platform):
            return value
        try:
            return parse_platform(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def plain_http_option(command: _Command) -> _Command:
    """Adds ``--plain-http``."""
    option = click.option(
        "--plain-http",
        metavar="HOST",
        multiple=True,
        help="Registry host[:port] that speaks plain HTTP; may be repeated. Loopback always does.",
    )
    return option(command)
