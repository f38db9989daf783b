"""Verified content is a type: whoever holds a ``VerifiedChunk`` holds the right bytes."""

import hashlib
from dataclasses import dataclass

from estargz.errors import DigestMismatchError
from registry.digest import Digest


@dataclass(frozen=True, slots=True)
class VerifiedChunk:
    """A chunk's content, checked against the digest that the TOC gives for it.

    Making one is the check; there is no other way to get one.

    Raises:
        DigestMismatchError: the content is not the named one.
    """

    what: str
    digest: bytes
    data: memoryview

    def __post_init__(self) -> None:
        actual = hashlib.sha256(self.data).digest()
        if actual != self.digest:
            raise DigestMismatchError(
                self.what,
                expected=Digest("sha256", self.digest.hex()),
                actual=Digest("sha256", actual.hex()),
            )
