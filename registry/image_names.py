"""Images as users name them, wherever they are. No I/O."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from registry.errors import InvalidReferenceError
from registry.reference import Reference, is_tag

LAYOUT_PREFIX: Final = "oci:"


class ArchiveFormat(StrEnum):
    """What an archive holds, as the prefix of its name."""

    OCI = "oci-archive:"
    DOCKER = "docker-archive:"


@dataclass(frozen=True, slots=True)
class LayoutName:
    """An image in a layout directory; without a tag, the only one there."""

    path: Path
    tag: str | None = None

    def __str__(self) -> str:
        return f"{LAYOUT_PREFIX}{self.path}{_suffix(self.tag)}"


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """An image in an archive; without a tag, the only one there. With docker's, the tag may be a whole name."""

    format: ArchiveFormat
    path: Path
    tag: str | None = None

    def __str__(self) -> str:
        return f"{self.format}{self.path}{_suffix(self.tag)}"


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image as a user names it: in a layout directory, in an archive, or in a registry."""

    location: Reference | LayoutName | ArchiveName

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name.

        Raises:
            InvalidReferenceError: it is no kind of name.
        """
        if text.startswith(LAYOUT_PREFIX):
            return cls(LayoutName(*_split(text, LAYOUT_PREFIX, "oci:DIR")))
        if text.startswith(ArchiveFormat.OCI):
            split = _split(text, ArchiveFormat.OCI, "oci-archive:FILE")
            return cls(ArchiveName(ArchiveFormat.OCI, *split))
        if text.startswith(ArchiveFormat.DOCKER):
            return cls(_docker_archive(text))
        return cls(Reference.parse(text))

    def __str__(self) -> str:
        return str(self.location)


def _suffix(tag: str | None) -> str:
    return "" if tag is None else f":{tag}"


def _split(text: str, prefix: str, form: str) -> tuple[Path, str | None]:
    rest = text.removeprefix(prefix)
    path, colon, last = rest.rpartition(":")
    tag: str | None = last
    if not colon or "/" in last:
        path, tag = rest, None
    if not path or "\0" in path or (tag is not None and not is_tag(tag)):
        raise InvalidReferenceError(text, f"write {form} or {form}:TAG")
    return Path(path), tag


def _docker_archive(text: str) -> ArchiveName:
    path, colon, tag = text.removeprefix(ArchiveFormat.DOCKER).partition(":")
    if not path or "\0" in path or (colon and not tag):
        raise InvalidReferenceError(
            text, "write docker-archive:FILE or docker-archive:FILE:NAME:TAG"
        )
    return ArchiveName(ArchiveFormat.DOCKER, Path(path), tag or None)
