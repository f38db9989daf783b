"""Options, and rules of showing names, that several commands about images have in common."""

import platform
from collections.abc import Callable
from typing import Any, TypeVar

import click

from registry.manifest import Platform
from registry.platforms import normalize_platform, parse_platform

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


def single_platform_option(command: _Command) -> _Command:
    """Adds ``--platform``, as a list of the platforms that are good enough, the best first."""
    option = click.option(
        "--platform",
        "platforms",
        type=PlatformType(),
        callback=lambda _context, _option, value: [value] if value else [host_platform()],
        help="Which image of an index to look at; this machine's, unless told otherwise.",
    )
    return option(command)


def host_platform() -> Platform:
    """What this machine runs."""
    return normalize_platform(Platform("linux", platform.machine().lower()))


def plain_http_option(command: _Command) -> _Command:
    """Adds ``--plain-http``."""
    option = click.option(
        "--plain-http",
        metavar="HOST",
        multiple=True,
        help="Registry host[:port] that speaks plain HTTP; may be repeated. Loopback always does.",
    )
    return option(command)


def printable(text: str) -> str:
    """Names are the image author's: none may move the cursor of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
