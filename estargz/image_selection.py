"""Which images of an index are meant. No I/O."""

from collections.abc import Iterable, Sequence

import msgspec

from estargz.errors import PlatformError
from estargz.image_rewriting import is_attestation
from registry.manifest import Descriptor, Platform
from registry.platforms import is_platform


def is_wanted(have: Platform | None, wanted: Sequence[Platform]) -> bool:
    """Whether an image is among the wanted ones; without any, all are wanted."""
    return not wanted or any(is_platform(have, platform) for platform in wanted)


def choose_platform(children: Sequence[Descriptor], wanted: Sequence[Platform]) -> Descriptor:
    """One image of an index: the first that is for one of the platforms, in their order; or the only one there is.

    Raises:
        PlatformError: there is none.
    """
    images = [child for child in children if not is_attestation(child)]
    for platform in wanted:
        for child in images:
            if is_platform(child.platform, platform):
                return child
    if len(images) == 1 and not wanted:
        return images[0]
    require_platforms([child.platform for child in images], wanted)
    raise PlatformError("no platform in particular", [child.platform for child in images])


def require_platforms(have: Iterable[Platform | None], wanted: Iterable[Platform]) -> None:
    """Checks that there is an image for each platform.

    Raises:
        PlatformError: there is none.
    """
    known = [platform for platform in have if platform is not None]
    for platform in wanted:
        if not any(is_platform(one, platform) for one in known):
            raise PlatformError(str(platform), known)


def config_platform(config: bytes) -> Platform | None:
    """What an image's config says that it runs on; None where it does not say."""
    try:
        return msgspec.json.decode(config, type=Platform)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
