"""How tokens are asked for, and what token servers answer. Without I/O.

Two protocols are in use: docker's (GET, the password as basic credentials) and OAuth's (POST, everything in a form), by
https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/. Every server knows the first, and some only that; the
second is needed for identity tokens, which have no user's name.
"""

import base64
import email.utils
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from registry.auth import Challenge

MAX_TOKEN_CHARACTERS: Final = 64 << 10
MAX_TOKEN_LIFETIME_SECONDS: Final = 24 * 3600.0
DEFAULT_TOKEN_LIFETIME_SECONDS: Final = 60.0
MAX_ASKED_SCOPES: Final = 8

_CLIENT_ID: Final = "pyestargz"
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
# A server that does not know this way of asking says one of these.
_UNKNOWN_WAY_STATUSES: Final = frozenset({400, 404, 405, 501})
_REFUSED_STATUSES: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """What is known of a user: a name and a password, an identity token, or both; never printed."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def has_password(self) -> bool:
        """Whether there is a name and a password."""
        return bool(self.username and self.password)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One way to ask for a token.

    Attributes:
        method: the HTTP method.
        url: where.
        authorization: the header of that name; None: without.
        form: the body, of type ``application/x-www-form-urlencoded``; None: without.
        next_after: the statuses after which the next way is worth trying.
    """

    method: str
    url: str = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    form: bytes | None = field(default=None, repr=False)
    next_after: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how long it may be used; never printed.

    ``refresh_token`` is what to ask with the next time, instead of the password or the identity token before.
    """

    value: str = field(repr=False)
    lifetime_seconds: float
    refresh_token: str = field(default="", repr=False)


def plan_token_requests(
    challenge: Challenge, scopes: Sequence[str], login: TokenLogin
) -> tuple[TokenRequest, ...]:
    """The ways to ask for a token of some scopes, the best first.

    An identity token is tried before a password, and a password the way that every server knows before the other one: a password is
    not sent again where it was refused.
    """
    ways = []
    if login.identity_token:
        grant = {"grant_type": "refresh_token", "refresh_token": login.identity_token}
        statuses = _UNKNOWN_WAY_STATUSES | _REFUSED_STATUSES
        ways.append(_ask_by_form(challenge, scopes, grant, next_after=statuses))
    if login.has_password:
        pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")
        basic = TokenRequest(
            "GET",
            _get_url(challenge, scopes),
            f"Basic {pair}",
            next_after=_UNKNOWN_WAY_STATUSES,
        )
        grant = {
            "grant_type": "password",
            "username": login.username,
            "password": login.password,
            "access_type": "offline",
        }
        ways += [basic, _ask_by_form(challenge, scopes, grant, next_after=frozenset())]
    return tuple(ways) or (TokenRequest("GET", _get_url(challenge, scopes)),)


def missing_scopes(names: Sequence[str], asked_for: str) -> tuple[str, ...]:
    """What a challenge's ``scope`` wants besides what we would ask for anyway.

    A mirror may have content under other names than its paths say, and only it knows.
    """
    ours = {(kind, name): actions for kind, name, actions in map(_split_scope, names)}
    missing = []
    for word in asked_for.split()[:MAX_ASKED_SCOPES]:
        kind, name, actions = _split_scope(word)
        if actions and not actions <= ours.get((kind, name), frozenset()):
            missing.append(word)
    return tuple(missing)


def parse_token(body: bytes, *, date: str | None = None) -> Token | None:
    """Reads a token server's answer; None where it holds no usable token.

    Args:
        body: the answer.
        date: its ``Date`` header. ``issued_at`` is by the server's clock, and so is this: ours may be wrong.
    """
    try:
        answer = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    value = answer.token or answer.access_token or ""
    if not _is_safe(value):
        return None
    lifetime = answer.expires_in or DEFAULT_TOKEN_LIFETIME_SECONDS
    lifetime -= _age_seconds(answer.issued_at, date)
    refresh_token = answer.refresh_token or ""
    return Token(
        value,
        min(max(lifetime, 0.0), MAX_TOKEN_LIFETIME_SECONDS),
        refresh_token if len(refresh_token) <= MAX_TOKEN_CHARACTERS else "",
    )


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    issued_at: str | None = None
    refresh_token: str | None = None


def _ask_by_form(
    challenge: Challenge,
    scopes: Sequence[str],
    grant: dict[str, str],
    *,
    next_after: frozenset[int],
) -> TokenRequest:
    fields = {"client_id": _CLIENT_ID, "scope": " ".join(scopes), **grant}
    if service := challenge.parameters.get("service"):
        fields["service"] = service
    realm = challenge.parameters["realm"]
    return TokenRequest("POST", realm, form=urlencode(fields).encode(), next_after=next_after)


def _get_url(challenge: Challenge, scopes: Sequence[str]) -> str:
    query = [("scope", scope) for scope in scopes]
    if service := challenge.parameters.get("service"):
        query.insert(0, ("service", service))
    realm = challenge.parameters["realm"]
    return f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"


def _split_scope(scope: str) -> tuple[str, str, frozenset[str]]:
    """Kind, name and actions; a name may hold colons (a host's port)."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind, name, frozenset(filter(None, actions.split(",")))


def _is_safe(token: str) -> bool:
    return len(token) <= MAX_TOKEN_CHARACTERS and bool(_HEADER_SAFE.fullmatch(token))


def _age_seconds(issued_at: str | None, date: str | None) -> float:
    """How old a token was when it came; 0 where nobody says, or what they say makes no sense."""
    try:
        issued = datetime.fromisoformat(issued_at or "")
        answered = email.utils.parsedate_to_datetime(date or "")
        age = (answered - issued).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return age if age > 0 else 0.0
