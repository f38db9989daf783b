"""How registries ask for credentials (RFC 9110 section 11, and the distribution project's token scheme). Without I/O."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlencode

import msgspec

MAX_CHALLENGE_CHARACTERS: Final = 8 << 10
MAX_TOKEN_CHARACTERS: Final = 64 << 10
MAX_TOKEN_LIFETIME_SECONDS: Final = 24 * 3600.0
DEFAULT_TOKEN_LIFETIME_SECONDS: Final = 60.0

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|\s*,|$)")
_TOKEN68 = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*\s*(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers: ``bearer`` or ``basic``, and what it says about it."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how long it may be used; never printed."""

    value: str = field(repr=False)
    lifetime_seconds: float


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password; never printed."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def from_base64(cls, text: str) -> Self | None:
        """Reads ``base64(username:password)``, as docker keeps it; None where it is not that."""
        try:
            username, colon, password = (
                base64.b64decode(text, validate=True).decode().partition(":")
            )
        except ValueError:
            return None
        return cls(username, password) if colon and username else None

    @property
    def authorization(self) -> str:
        """The value of an ``Authorization`` header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Reads a ``WWW-Authenticate`` header; what cannot be read ends it.

    Several headers may be joined with commas. Scheme and parameter names come back in lower case.
    """
    text = header[:MAX_CHALLENGE_CHARACTERS]
    challenges = []
    position = 0
    while match := _SCHEME.match(text, position):
        parameters, position = _parse_parameters(text, match.end())
        challenges.append(Challenge(match.group(1).lower(), parameters))
    return tuple(challenges)


def choose_challenge(challenges: tuple[Challenge, ...]) -> Challenge | None:
    """The challenge to answer: bearer with a realm rather than basic; None where neither is offered."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return challenge
    return next((challenge for challenge in challenges if challenge.scheme == "basic"), None)


def token_url(challenge: Challenge, *, scopes: Sequence[str]) -> str:
    """Where to ask for a token of some scopes."""
    query = [("scope", scope) for scope in scopes]
    if service := challenge.parameters.get("service"):
        query.insert(0, ("service", service))
    realm = challenge.parameters["realm"]
    return f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"


def parse_token(body: bytes) -> Token | None:
    """Reads a token server's answer; None where it holds no usable token."""
    try:
        answer = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    value = answer.token or answer.access_token or ""
    if len(value) > MAX_TOKEN_CHARACTERS or not _HEADER_SAFE.fullmatch(value):
        return None
    lifetime = answer.expires_in or DEFAULT_TOKEN_LIFETIME_SECONDS
    return Token(value, min(max(lifetime, 0.0), MAX_TOKEN_LIFETIME_SECONDS))


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


def _parse_parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters = {}
    while match := _PARAMETER.match(text, position):
        name, quoted, word = match.groups()
        parameters[name.lower()] = word if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
    if not parameters and (match := _TOKEN68.match(text, position)) and "=" in match.group():
        position = match.end()
    return parameters, position
