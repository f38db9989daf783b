"""Getting authorization: one token for each scope, fetched once however many ask for it.

A registry says how it wants to be asked only by refusing a request. So the first request to an unknown host goes alone and the
others wait for its outcome; after that, everybody goes straight for the token. The first who needs a token fetches it, the
others wait for that flight and share its result, good or bad; only where the first was cancelled does the next one try.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import trio

from registry.auth import Challenge, choose_challenge, parse_challenges, parse_token, token_url
from registry.counters import Counters
from registry.credentials import docker_config_path, find_credentials
from registry.endpoints import Endpoint
from registry.errors import BadResponseError, ContentError, RegistryError, UnauthorizedError
from registry.hosts import resolve_url
from registry.reference import Repository
from registry.transport import Request, Response, Transport

MAX_TOKEN_ANSWER_BYTES: Final = 256 << 10
MAX_SCOPES: Final = 1024
_RENEW_EARLY_SECONDS: Final = 5.0


class Access(Enum):
    """What a token is for, in the token server's words."""

    PULL = "pull"
    PUSH = "pull,push"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one token covers, and where it is good; a blob that is mounted must be pulled from where it was."""

    endpoint: Endpoint
    repository: Repository
    access: Access
    mounted_from: Repository | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The scope in the words of token servers."""
        name = f"repository:{self.repository.name}:{self.access.value}"
        if self.mounted_from is None:
            return (name,)
        return name, f"repository:{self.mounted_from.name}:{Access.PULL.value}"


@dataclass(frozen=True, slots=True)
class _Grant:
    """An ``Authorization`` header's value (None: go without one) and how long it is good."""

    header: str | None = field(repr=False)
    expires_at: float


@dataclass(slots=True, eq=False)
class _Flight:
    """A token being fetched. A landed flight with neither grant nor error was cancelled."""

    landed: trio.Event = field(default_factory=trio.Event)
    grant: _Grant | None = None
    error: ContentError | None = None


@dataclass(slots=True, eq=False)
class _Host:
    """What is known of a registry: how it wants to be asked, or the first request that will tell."""

    known: bool = False
    challenge: Challenge | None = None
    knocked: trio.Event | None = None


class Authorizer:
    """All tokens of one client. Belongs to one trio run; between its awaits a task owns the tables."""

    def __init__(self, transport: Transport, counters: Counters) -> None:
        self._transport = transport
        self._counters = counters
        self._hosts: dict[Endpoint, _Host] = {}
        self._grants: dict[Scope, _Grant] = {}
        self._flights: dict[Scope, _Flight] = {}

    def __repr__(self) -> str:
        return f"<Authorizer {len(self._hosts)} hosts, {len(self._grants)} tokens>"

    @contextlib.asynccontextmanager
    async def knocking(self, endpoint: Endpoint) -> AsyncIterator[None]:
        """Lets one request to an unknown host go alone; the others enter when it is over, however it ended."""
        state = self._hosts.setdefault(endpoint, _Host())
        if state.known:
            yield
        elif state.knocked is not None:
            await state.knocked.wait()
            yield
        else:
            state.knocked = trio.Event()
            try:
                yield
            finally:
                state.knocked.set()
                state.knocked = None

    def learn(self, endpoint: Endpoint, response: Response) -> None:
        """Takes from a server's answer how it wants to be asked."""
        state = self._hosts.setdefault(endpoint, _Host())
        if response.status == 401:  # noqa: PLR2004 - HTTP's number for it
            header = response.header("WWW-Authenticate") or ""
            state.challenge = choose_challenge(parse_challenges(header))
        state.known = True

    def reject(self, scope: Scope, header: str | None) -> None:
        """Forgets what a registry refused, unless it was renewed meanwhile."""
        grant = self._grants.get(scope)
        if grant is not None and grant.header == header:
            del self._grants[scope]

    async def authorization(self, scope: Scope) -> str | None:
        """The ``Authorization`` header's value for a scope; None where the registry wants none, or none is at hand.

        Raises:
            CredentialsError: the docker configuration is broken.
            RegistryError: the token server refused, or failed.
        """
        challenge = self._hosts.setdefault(scope.endpoint, _Host()).challenge
        if challenge is None:
            return None
        while True:
            grant = self._grants.get(scope)
            if grant is not None and trio.current_time() < grant.expires_at:
                return grant.header
            flight = self._flights.get(scope)
            if flight is None:
                return await self._fly(scope, challenge)
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            if flight.grant is not None:
                return flight.grant.header

    async def _fly(self, scope: Scope, challenge: Challenge) -> str | None:
        flight = self._flights[scope] = _Flight()
        try:
            flight.grant = await self._obtain(scope, challenge)
        except ContentError as error:
            flight.error = error
            raise
        finally:
            del self._flights[scope]
            flight.landed.set()
        self._keep(scope, flight.grant)
        return flight.grant.header

    def _keep(self, scope: Scope, grant: _Grant) -> None:
        self._grants[scope] = grant
        while len(self._grants) > MAX_SCOPES:
            del self._grants[min(self._grants, key=lambda kept: self._grants[kept].expires_at)]

    async def _obtain(self, scope: Scope, challenge: Challenge) -> _Grant:
        find = partial(find_credentials, scope.endpoint.login, path=docker_config_path())
        credentials = await trio.to_thread.run_sync(find)
        basic = None if credentials is None else credentials.authorization
        if challenge.scheme == "basic":
            return _Grant(basic, expires_at=0.0 if basic is None else float("inf"))
        return await self._fetch_token(scope, challenge, basic)

    async def _fetch_token(self, scope: Scope, challenge: Challenge, basic: str | None) -> _Grant:
        started = trio.current_time()
        url = token_url(challenge, scopes=scope.names)
        self._check_realm(scope, url)
        headers = scope.endpoint.headers_for(url)
        if basic is not None:
            headers["Authorization"] = basic
        connection = scope.endpoint.connection_to(url)
        response = await self._transport.send(Request("GET", url, headers, connection=connection))
        try:
            if response.status != 200:  # noqa: PLR2004 - HTTP's number for it
                raise _refusal(scope, await response.refusal(host=response.host))
            token = parse_token(await response.read(MAX_TOKEN_ANSWER_BYTES))
        finally:
            await response.aclose()
        if token is None:
            raise BadResponseError(response.host, url=url, detail="no token in the answer")
        self._counters.tokens_fetched += 1
        usable = max(token.lifetime_seconds - _RENEW_EARLY_SECONDS, token.lifetime_seconds / 2)
        return _Grant(f"Bearer {token.value}", started + usable)

    def _check_realm(self, scope: Scope, url: str) -> None:
        """Credentials go over plain HTTP only where the registry itself is spoken to that way."""
        schemes = {urlsplit(scope.endpoint.base_url).scheme, "https"}
        if resolve_url(url, url) is None:
            detail = "the address of its token server is malformed"
        elif urlsplit(url).scheme not in schemes:
            detail = "its token server is not behind TLS"
        else:
            return
        raise BadResponseError(scope.endpoint.login, detail=detail, retryable=False)


def _refusal(scope: Scope, error: RegistryError) -> RegistryError:
    """Who is refused a token logs in to the registry, not to its token server."""
    if not isinstance(error, UnauthorizedError):
        return error
    detail = f"token server {error.host}: {error.detail}"
    return UnauthorizedError(
        scope.endpoint.login, status=error.status, code=error.code, detail=detail, url=error.url
    )
