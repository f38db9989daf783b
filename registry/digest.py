"""Content digests, the names of everything in a registry (OCI image spec, "Digests")."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from registry.errors import InvalidDigestError

_HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A parsed digest: the algorithm's name and its lower-case hex value."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``algorithm:hex``.

        Raises:
            InvalidDigestError: the text is not a digest, or of an algorithm other than sha256 and sha512.
        """
        algorithm, _, value = text.partition(":")
        if len(value) != _HEX_LENGTHS.get(algorithm) or not _HEX.fullmatch(value):
            raise InvalidDigestError(text)
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """The sha256 digest of some bytes."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def matches(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether some bytes have this digest."""
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex

    @property
    def raw(self) -> bytes:
        """The value as bytes: 32 for sha256, 64 for sha512."""
        return bytes.fromhex(self.hex)

    @property
    def file_name(self) -> str:
        """A name without a colon, for directories that overlayfs options mention."""
        return f"{self.algorithm}-{self.hex}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
