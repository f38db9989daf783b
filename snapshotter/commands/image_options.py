"""Options, and rules of showing names, that several commands about images have in common."""

import functools
import platform
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from registry.manifest import Platform
from registry.platforms import normalize_platform, parse_platform
from registry.settings import ClientSettings
from snapshotter.commands.image_stores import DEFAULT_CONTAINERD, ImageAccess
from snapshotter.containerd_client import ContainerdAddress
from snapshotter.sampling.sample_root import is_safe_name

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


def platforms_option(command: _Command) -> _Command:
    """Adds ``--platform``, as a list of the platforms to look at; empty for all that the image is usually had for."""
    option = click.option(
        "--platform",
        "platforms",
        type=PlatformType(),
        multiple=True,
        help="Look only at the image for this platform; may be repeated.",
    )
    return option(command)


def host_platform() -> Platform:
    """What this machine runs."""
    return normalize_platform(Platform("linux", platform.machine().lower()))


def image_access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say how images are got at; the command gets them as ``access``, an ``ImageAccess``."""

    @functools.wraps(command)
    def with_access(
        *args: Any,
        plain_http: tuple[str, ...],
        containerd_address: str,
        namespace: str,
        **rest: Any,
    ) -> Any:
        access = ImageAccess(
            registries=ClientSettings(plain_http_hosts=frozenset(plain_http)),
            containerd=ContainerdAddress(containerd_address, namespace),
        )
        return command(*args, access=access, **rest)

    wrapped: Callable[..., Any] = with_access
    for option in reversed(_ACCESS_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def safe_name(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """A click callback that refuses what ``ctr`` might mistake for an option."""
    if not is_safe_name(text):
        raise click.BadParameter(f"{text!r} is not a name")
    return text


containerd_option: Final[Callable[[Any], Any]] = click.option(
    "--containerd-address",
    metavar="SOCKET",
    default=DEFAULT_CONTAINERD.socket,
    show_default=True,
    help="The containerd of this machine.",
)

_ACCESS_OPTIONS: Final[Sequence[Callable[[Any], Any]]] = (
    click.option(
        "--plain-http",
        metavar="HOST",
        multiple=True,
        help="Registry host[:port] that speaks plain HTTP; may be repeated. Loopback always does.",
    ),
    containerd_option,
    click.option(
        "--namespace",
        default=DEFAULT_CONTAINERD.namespace,
        show_default=True,
        callback=safe_name,
        help="containerd's namespace.",
    ),
)


def printable(text: str) -> str:
    """Names are the image author's: none may move the cursor of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
