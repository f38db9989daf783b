"""What can be wrong with a layer.

EstargzError
 +- NotEstargzError       the blob has no footer we know: an ordinary layer
 |   +- ExternalTocError   its TOC is in another image
 +- TocError              the TOC is there but cannot be believed
 +- CorruptMemberError    compressed data that does not decompress to what the TOC promised
 +- DigestMismatchError   bytes that are not the ones that were named
 +- UnsupportedTarError   a tar that cannot be represented
 +- ConversionError       an image that cannot be converted
 +- PlatformError         an image that is not there for a platform
 +- NoSuchFileError       a path that leads nowhere in an image
 +- RecordError           a list of files that cannot be understood
"""

from collections.abc import Iterable

from registry.digest import Digest
from registry.manifest import Platform


class EstargzError(Exception):
    """Base of all errors about the formats."""


class NotEstargzError(EstargzError):
    """The blob is not eStargz."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not an eStargz layer: {reason}")
        self.reason = reason


class ExternalTocError(NotEstargzError):
    """The blob is eStargz, but its TOC is not in it: it must be fetched from the image that goes with this one.

    ``estargz.external_toc`` fetches it, and ``estargz.opening.found_elsewhere`` goes on from there.
    """

    def __init__(self, *, blob_bytes: int) -> None:
        super().__init__("its TOC is in another image")
        self.blob_bytes = blob_bytes


class TocError(EstargzError):
    """The TOC, or one of its entries, breaks a rule of the format or a limit."""

    def __init__(self, entry: str, reason: str) -> None:
        where = f"entry {entry!r}: " if entry else ""
        super().__init__(f"bad TOC: {where}{reason}")
        self.entry = entry
        self.reason = reason


class CorruptMemberError(EstargzError):
    """A member does not decompress to the content that the TOC places in it."""

    def __init__(self, *, offset: int, reason: str) -> None:
        super().__init__(f"corrupt member at blob offset {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class DigestMismatchError(EstargzError):
    """Bytes whose digest is not the expected one; they were thrown away."""

    def __init__(self, what: str, *, expected: Digest, actual: Digest) -> None:
        super().__init__(f"{what} has digest {actual}, expected {expected}")
        self.what = what
        self.expected = expected
        self.actual = actual


class UnsupportedTarError(EstargzError):
    """A tar entry that eStargz cannot hold without losing something."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"cannot convert tar entry {name!r}: {reason}")
        self.name = name
        self.reason = reason


class ConversionError(EstargzError):
    """An image, or a part of it, that cannot be converted."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"cannot convert {what}: {reason}")
        self.what = what
        self.reason = reason


class PlatformError(EstargzError):
    """An image that is not there for a platform."""

    def __init__(self, platform: str, have: Iterable[Platform | None]) -> None:
        self.platform = platform
        self.have = tuple(sorted(str(one) for one in have if one is not None))
        names = ", ".join(self.have) or "no platform"
        super().__init__(f"no image for {platform}: the image has only {names}")


class NoSuchFileError(EstargzError):
    """A path that leads nowhere in the image, or not to what is wanted there."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.path = path
        self.reason = reason


class RecordError(EstargzError):
    """A line of a record or of a list that cannot be understood."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line} of the list of files: {reason}")
        self.line = line
        self.reason = reason
