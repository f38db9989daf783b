"""Platforms as users name them: ``OS/ARCHITECTURE[/VARIANT]``, as containerd and docker read them. No I/O."""

import re
from typing import Final

from registry.manifest import Platform

_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PARTS: Final = (2, 3)
# Other tools' names of the same things, and variants that go without saying.
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm",
}
_OBVIOUS_VARIANTS: Final = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm", ""): "v7"}


def parse_platform(text: str) -> Platform:
    """Reads a platform.

    Raises:
        ValueError: it is none.
    """
    parts = text.split("/")
    if len(parts) not in _PARTS or not all(map(_PART.fullmatch, parts)):
        raise ValueError(f"{text!r} is not a platform: write OS/ARCHITECTURE or linux/arm/v7")
    os, architecture, variant = (*text.lower().split("/"), "")[:3]
    return normalize_platform(Platform(os, architecture, variant))


def normalize_platform(platform: Platform) -> Platform:
    """The same platform in the words of Go, with a variant only where it says something."""
    architecture = _ARCHITECTURES.get(platform.architecture, platform.architecture)
    key = (architecture, platform.variant)
    variant = _OBVIOUS_VARIANTS.get(key, platform.variant)
    return Platform(platform.os, architecture, variant)


def is_platform(have: Platform | None, wanted: Platform) -> bool:
    """Whether an image's platform is the wanted one; Windows' versions do not matter."""
    return have is not None and normalize_platform(have) == normalize_platform(wanted)
