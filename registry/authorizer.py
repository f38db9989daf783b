"""Getting authorization: one token for each scope, fetched once however many ask for it.

A registry says how it wants to be asked only by refusing a request. So the first request to an unknown host goes alone and the
others wait for its outcome; after that, everybody goes straight for the token. The first who needs a token fetches it, the
others wait for that flight and share its result, good or bad; only where the first was cancelled does the next one try.

A token is renewed some time before it expires, by one task, and the others go on with the old one; where that fails, so does the one,
until the token has expired. Credentials are asked for anew each time: those of clouds live for hours, mounts for weeks.
"""

import contextlib
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Self

import trio

from registry.auth import Challenge, choose_challenge, parse_challenges
from registry.counters import Counters
from registry.endpoints import Endpoint
from registry.errors import ContentError, CredentialsError, UnauthorizedError
from registry.keychain.credential_chain import CredentialChain
from registry.keychain.credentials import CredentialQuestion, Credentials, SecretKind
from registry.reference import Repository
from registry.token_requests import Token, TokenLogin, missing_scopes
from registry.tokens import TokenServers
from registry.transport import Response, Transport

MAX_SCOPES: Final = 1024
# So many sources of credentials are tried at most, one after the other was refused.
MAX_REFUSALS: Final = 4
_MAX_RENEWAL_SECONDS: Final = 60.0
_RENEWAL_SHARE: Final = 0.2
_MAX_MARGIN_SECONDS: Final = 5.0
_MARGIN_SHARE: Final = 0.1


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
    """An ``Authorization`` header's value (None: go without one), when to renew it, and how long it is good.

    ``credentials`` are there where the header is made of them, and not of a token that they were traded for.
    """

    header: str | None = field(repr=False)
    renew_at: float
    expires_at: float
    credentials: Credentials | None = None

    @classmethod
    def for_credentials(cls, credentials: Credentials | None) -> Self:
        """What credentials are good for that are sent as they are: until they are refused."""
        header = None if credentials is None else credentials.authorization
        good_until = 0.0 if header is None else math.inf
        return cls(header, good_until, good_until, credentials)

    @classmethod
    def for_token(cls, token: Token, *, since: float) -> Self:
        """What a token that was asked for at a time is good for."""
        lifetime = token.lifetime_seconds
        return cls(
            f"Bearer {token.value}",
            since + lifetime - min(_RENEWAL_SHARE * lifetime, _MAX_RENEWAL_SECONDS),
            since + lifetime - min(_MARGIN_SHARE * lifetime, _MAX_MARGIN_SECONDS),
        )


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
    problems: tuple[CredentialsError, ...] = ()


class Authorizer:
    """All tokens of one client. Belongs to one trio run; between its awaits a task owns the tables."""

    def __init__(self, transport: Transport, chain: CredentialChain, counters: Counters) -> None:
        self._chain = chain
        self._token_servers = TokenServers(transport, counters)
        self._hosts: dict[Endpoint, _Host] = {}
        self._grants: dict[Scope, _Grant] = {}
        self._flights: dict[Scope, _Flight] = {}
        self._asked_scopes: OrderedDict[Scope, tuple[str, ...]] = OrderedDict()

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

    def learn(self, scope: Scope, response: Response) -> None:
        """Takes from a server's answer how it wants to be asked."""
        state = self._hosts.setdefault(scope.endpoint, _Host())
        state.known = True
        if response.status == 401:  # noqa: PLR2004 - HTTP's number for it
            header = response.header("WWW-Authenticate") or ""
            state.challenge = choose_challenge(parse_challenges(header))
            asked_for = state.challenge.parameters.get("scope", "") if state.challenge else ""
            if missing := missing_scopes(scope.names, asked_for):
                self._asked_scopes[scope] = missing
                while len(self._asked_scopes) > MAX_SCOPES:
                    self._asked_scopes.popitem(last=False)

    def reject(self, scope: Scope, header: str | None) -> None:
        """Forgets what a registry refused, unless it was renewed meanwhile."""
        grant = self._grants.get(scope)
        if grant is not None and grant.header == header:
            del self._grants[scope]
            if grant.credentials is not None:
                self._chain.reject(_question(scope), grant.credentials)

    def problems(self, endpoint: Endpoint) -> tuple[CredentialsError, ...]:
        """The sources that could not be asked when credentials for an endpoint were wanted the last time."""
        return self._hosts.setdefault(endpoint, _Host()).problems

    async def authorization(self, scope: Scope) -> str | None:
        """The ``Authorization`` header's value for a scope; None where the registry wants none, or none is at hand.

        Raises:
            RegistryError: the token server refused, or failed.
        """
        challenge = self._hosts.setdefault(scope.endpoint, _Host()).challenge
        if challenge is None:
            return None
        while True:
            grant, flight = self._grants.get(scope), self._flights.get(scope)
            if grant is not None:
                good_until = grant.renew_at if flight is None else grant.expires_at
                if trio.current_time() < good_until:
                    return grant.header
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
            flight.grant = self._extended(scope)
            if flight.grant is None:
                flight.error = error
                raise
        finally:
            del self._flights[scope]
            flight.landed.set()
        self._keep(scope, flight.grant)
        return flight.grant.header

    def _extended(self, scope: Scope) -> _Grant | None:
        """What there is, though it could not be renewed; half of the time that is left to it, nobody tries that again."""
        grant, now = self._grants.get(scope), trio.current_time()
        if grant is None or grant.expires_at <= now:
            return None
        return replace(grant, renew_at=(now + grant.expires_at) / 2)

    def _keep(self, scope: Scope, grant: _Grant) -> None:
        self._grants[scope] = grant
        while len(self._grants) > MAX_SCOPES:
            del self._grants[min(self._grants, key=lambda kept: self._grants[kept].expires_at)]

    async def _obtain(self, scope: Scope, challenge: Challenge) -> _Grant:
        refused: list[Credentials] = []
        refusal: UnauthorizedError | None = None
        while True:
            credentials = await self._find_credentials(scope)
            if refusal is not None and (credentials in refused or len(refused) > MAX_REFUSALS):
                # There is nothing else: sending a wrong password again may lock an account.
                raise refusal.without(self.problems(scope.endpoint)) from refusal
            kind = None if credentials is None else credentials.kind
            if challenge.scheme == "basic" or kind is SecretKind.REGISTRY_TOKEN:
                return _Grant.for_credentials(credentials)
            try:
                return await self._fetch_token(scope, challenge, _login(credentials))
            except UnauthorizedError as error:
                if credentials is None:
                    raise error.without(self.problems(scope.endpoint)) from error
                refusal = error
                refused.append(credentials)
                self._chain.reject(_question(scope), credentials)

    async def _find_credentials(self, scope: Scope) -> Credentials | None:
        # A program may be asked, and who gives up need not wait for it.
        found = await trio.to_thread.run_sync(
            self._chain.find, _question(scope), abandon_on_cancel=True
        )
        self._hosts.setdefault(scope.endpoint, _Host()).problems = found.problems
        return found.credentials

    async def _fetch_token(self, scope: Scope, challenge: Challenge, login: TokenLogin) -> _Grant:
        started = trio.current_time()
        names = (*scope.names, *self._asked_scopes.get(scope, ()))
        token = await self._token_servers.fetch_token(scope.endpoint, challenge, names, login)
        return _Grant.for_token(token, since=started)


def _question(scope: Scope) -> CredentialQuestion:
    return CredentialQuestion(scope.endpoint.login, scope.repository)


def _login(credentials: Credentials | None) -> TokenLogin:
    if credentials is None:
        return TokenLogin()
    if credentials.kind is SecretKind.IDENTITY_TOKEN:
        return TokenLogin(identity_token=credentials.secret)
    return TokenLogin(credentials.username, credentials.secret)
