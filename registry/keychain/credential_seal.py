"""Credentials in a form that may lie on a disk: sealed with a key that lies elsewhere. Pure: bytes in, bytes out.

The seal is libsodium's secretbox: nobody without the key can read it, or change a bit of it unnoticed. It protects copies of the
state directory (backups, images of disks, disks that are thrown away); whoever is root on the machine can read the key too.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random as random_bytes

from registry.errors import InvalidReferenceError
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Repository

MAX_SEALED_BYTES: Final = 64 << 20
MAX_KEY_BYTES: Final = 4096
# Of the content that follows; part of what is sealed, so that no other file sealed with the same key passes for this one.
_FORMAT: Final = "pyestargz credentials 1"


class SealBrokenError(Exception):
    """What is sealed was sealed with another key, or changed since."""

    def __str__(self) -> str:
        return "it was sealed with another key, or somebody changed it"


@dataclass(frozen=True, slots=True)
class KeptCredentials:
    """What was passed for a repository, and when (in seconds since 1970)."""

    repository: Repository
    credentials: Credentials
    passed_at: float


class SealingKey:
    """A key of 32 bytes; never printed."""

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)

    def __repr__(self) -> str:
        return "<SealingKey>"

    @classmethod
    def parse(cls, text: bytes) -> "SealingKey":
        """Reads the content of a key file: 32 bytes in base64.

        Raises:
            ValueError: it is none; the error says how to make one.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != SecretBox.KEY_SIZE:
            raise ValueError("it is not 32 bytes in base64: make it by `openssl rand -base64 32`")
        return cls(key)

    def seal(self, entries: Iterable[KeptCredentials]) -> bytes:
        """What may lie on a disk."""
        document = _Document(_FORMAT, [_entry(kept) for kept in entries])
        return bytes(self._box.encrypt(msgspec.json.encode(document)))

    def unseal(self, sealed: bytes) -> tuple[KeptCredentials, ...]:
        """What ``seal`` was given.

        Raises:
            SealBrokenError: another key sealed it, or somebody changed it.
        """
        try:
            document = msgspec.json.decode(self._box.decrypt(sealed), type=_Document)
            if document.format != _FORMAT:
                raise SealBrokenError
            return tuple(_kept(entry) for entry in document.entries)
        except (CryptoError, ValueError, KeyError, InvalidReferenceError) as error:
            raise SealBrokenError from error


def new_key() -> bytes:
    """The content of a new key file."""
    return base64.b64encode(random_bytes(SecretBox.KEY_SIZE)) + b"\n"


class _Entry(msgspec.Struct):
    host: str
    name: str
    username: str
    secret: str
    kind: str
    passed_at: float

    def __repr__(self) -> str:
        return "<_Entry>"


class _Document(msgspec.Struct):
    format: str
    entries: list[_Entry]


def _entry(kept: KeptCredentials) -> _Entry:
    credentials = kept.credentials
    return _Entry(
        kept.repository.host,
        kept.repository.name,
        credentials.username,
        credentials.secret,
        credentials.kind.name,
        kept.passed_at,
    )


def _kept(entry: _Entry) -> KeptCredentials:
    credentials = Credentials(entry.username, entry.secret, SecretKind[entry.kind])
    return KeptCredentials(Repository(entry.host, entry.name), credentials, entry.passed_at)
