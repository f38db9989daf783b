"""Who we are to a registry: values, and how one chain of sources is asked. Without I/O of its own.

Secrets appear in no ``repr`` and in no error; what is told everywhere is the ``origin``, where credentials are from.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, Self

from registry.errors import CredentialsError
from registry.reference import Repository


class SecretKind(Enum):
    """What a secret is, and so what may be done with it."""

    PASSWORD = "password"  # noqa: S105 - a word, no password
    IDENTITY_TOKEN = "identity token"  # noqa: S105 - traded for tokens at the token server (OAuth's refresh token)
    REGISTRY_TOKEN = "registry token"  # noqa: S105 - sent to the registry as it is


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and secret, or a token alone; never printed.

    Attributes:
        origin: where they are from, for people.
    """

    username: str = field(repr=False)
    secret: str = field(repr=False)
    kind: SecretKind = SecretKind.PASSWORD
    origin: str = field(default="", compare=False)

    @classmethod
    def from_base64(cls, text: str, *, origin: str = "") -> Self | None:
        """Reads ``base64(username:password)``, as docker keeps it; None where it is not that."""
        try:
            username, colon, password = (
                base64.b64decode(text, validate=True).decode().partition(":")
            )
        except ValueError:
            return None
        # Old versions of docker left zero bytes behind passwords.
        return cls(username, password.strip("\0"), origin=origin) if colon and username else None

    @property
    def authorization(self) -> str | None:
        """The value of an ``Authorization`` header; None for what is only traded for tokens."""
        match self.kind:
            case SecretKind.PASSWORD:
                pair = f"{self.username}:{self.secret}".encode()
                return f"Basic {base64.b64encode(pair).decode('ascii')}"
            case SecretKind.REGISTRY_TOKEN:
                return f"Bearer {self.secret}"
            case SecretKind.IDENTITY_TOKEN:
                return None


@dataclass(frozen=True, slots=True)
class CredentialQuestion:
    """For what credentials are wanted.

    Attributes:
        host: the server they are sent to: the registry as images name it, or a mirror.
        repository: the image that is read there.
    """

    host: str
    repository: Repository


class CredentialSource(Protocol):
    """Something that may know credentials. Asked from any thread; may block, for a limited time."""

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """What is known, the best first, and what is wrong with the source.

        The next one is asked for only where those before were refused; so what costs time may come later.
        """
