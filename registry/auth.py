"""How registries ask for credentials (RFC 9110 section 11, and the distribution project's token scheme). Without I/O."""

import re
from dataclasses import dataclass, field
from typing import Final

MAX_CHALLENGE_CHARACTERS: Final = 8 << 10

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|\s*,|$)")
_TOKEN68 = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*\s*(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers: ``bearer`` or ``basic``, and what it says about it."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


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


def _parse_parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters = {}
    while match := _PARAMETER.match(text, position):
        name, quoted, word = match.groups()
        parameters[name.lower()] = word if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
    if not parameters and (match := _TOKEN68.match(text, position)) and "=" in match.group():
        position = match.end()
    return parameters, position
