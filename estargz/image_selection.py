"""Which images of an index are meant. No I/O."""

from collections.abc import Iterable, Sequence

import msgspec

from estargz.errors import ConversionError
from registry.manifest import Platform
from registry.platforms import is_platform


def is_wanted(have: Platform | None, wanted: Sequence[Platform]) -> bool:
    """Whether an image is among the wanted ones; without any, all are wanted."""
    return not wanted or any(is_platform(have, platform) for platform in wanted)


def require_platforms(have: Iterable[Platform | None], wanted: Iterable[Platform]) -> None:
    """Checks that there is an image for each platform.

    Raises:
        ConversionError: there is none; the platforms that there are, are named.
    """
    known = [platform for platform in have if platform is not None]
    for platform in wanted:
        if not any(is_platform(one, platform) for one in known):
            names = ", ".join(sorted(map(str, known))) or "no platform"
            raise ConversionError(f"platform {platform}", f"the image has only {names}")


def config_platform(config: bytes) -> Platform | None:
    """What an image's config says that it runs on; None where it does not say."""
    try:
        return msgspec.json.decode(config, type=Platform)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
