"""Asking token servers, in all the ways there are until one gives a token."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from registry.auth import Challenge
from registry.counters import Counters
from registry.endpoints import Endpoint
from registry.errors import BadResponseError, RegistryError, UnauthorizedError
from registry.hosts import resolve_url
from registry.token_requests import (
    Token,
    TokenLogin,
    TokenRequest,
    parse_token,
    plan_token_requests,
)
from registry.transport import Request, Response, Transport

MAX_TOKEN_ANSWER_BYTES: Final = 256 << 10
MAX_REFRESH_TOKENS: Final = 256
_OK: Final = 200


class TokenServers:
    """Token servers, and the refresh tokens they gave us."""

    def __init__(self, transport: Transport, counters: Counters) -> None:
        self._transport = transport
        self._counters = counters
        self._refresh_tokens: OrderedDict[tuple[str, str, TokenLogin], str] = OrderedDict()

    def __repr__(self) -> str:
        return f"<TokenServers {len(self._refresh_tokens)} refresh tokens>"

    async def fetch_token(
        self, endpoint: Endpoint, challenge: Challenge, scopes: Sequence[str], login: TokenLogin
    ) -> Token:
        """A token of some scopes for an endpoint, from where its challenge says.

        Raises:
            BadResponseError: there is no token in the answer, or the server is not one to send a password to.
            RegistryError: the server refused, or failed.
        """
        realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
        _check_realm(endpoint, realm)
        key = realm, service, login
        ways = plan_token_requests(challenge, scopes, login)
        if newer := self._refresh_tokens.pop(key, ""):
            renewed = replace(login, identity_token=newer)
            ways = (*plan_token_requests(challenge, scopes, renewed)[:1], *ways)
        used, token = await self._ask(endpoint, ways)
        self._counters.tokens_fetched += 1
        if refresh_token := token.refresh_token or (newer if used is ways[0] else ""):
            self._refresh_tokens[key] = refresh_token
            while len(self._refresh_tokens) > MAX_REFRESH_TOKENS:
                self._refresh_tokens.popitem(last=False)
        return token

    async def _ask(
        self, endpoint: Endpoint, ways: tuple[TokenRequest, ...]
    ) -> tuple[TokenRequest, Token]:
        """The way that was good, and the token."""
        for way in ways[:-1]:
            response = await self._send(endpoint, way)
            if response.status not in way.next_after:
                return way, await _take_token(endpoint, response)
            await response.discard()
        return ways[-1], await _take_token(endpoint, await self._send(endpoint, ways[-1]))

    async def _send(self, endpoint: Endpoint, way: TokenRequest) -> Response:
        headers = endpoint.headers_for(way.url)
        if way.authorization is not None:
            headers["Authorization"] = way.authorization
        if way.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = endpoint.connection_to(way.url)
        return await self._transport.send(
            Request(way.method, way.url, headers, way.form, connection)
        )


async def _take_token(endpoint: Endpoint, response: Response) -> Token:
    try:
        if response.status != _OK:
            raise _refusal(endpoint, await response.refusal(host=response.host))
        token = parse_token(
            await response.read(MAX_TOKEN_ANSWER_BYTES), date=response.header("Date")
        )
    finally:
        response.close()
    if token is None:
        raise BadResponseError(response.host, url=response.url, detail="no token in the answer")
    return token


def _check_realm(endpoint: Endpoint, url: str) -> None:
    """Credentials go over plain HTTP only where the registry itself is spoken to that way."""
    schemes = {urlsplit(endpoint.base_url).scheme, "https"}
    if resolve_url(url, url) is None:
        detail = "the address of its token server is malformed"
    elif urlsplit(url).scheme not in schemes:
        detail = "its token server is not behind TLS"
    else:
        return
    raise BadResponseError(endpoint.login, detail=detail, retryable=False)


def _refusal(endpoint: Endpoint, error: RegistryError) -> RegistryError:
    """Who is refused a token logs in to the registry, not to its token server."""
    if not isinstance(error, UnauthorizedError):
        return error
    detail = f"token server {error.host}: {error.detail}"
    return UnauthorizedError(
        endpoint.login, status=error.status, code=error.code, detail=detail, url=error.url
    )
