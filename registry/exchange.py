"""One question to a registry, with all that may happen before the answer: a token, redirects, a second attempt.

``open`` is one attempt. ``retrying`` repeats attempts that failed with something temporary.
"""

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio

from registry.authorizer import Access, Authorizer, Scope
from registry.counters import Counters
from registry.digest import Digest
from registry.errors import BadResponseError, RegistryError, UnreachableError
from registry.hosts import origin, resolve_url
from registry.redirects import MAX_HOPS, REDIRECT_STATUSES, RedirectMemory
from registry.reference import Repository
from registry.retry import pause_before_retry
from registry.settings import ClientSettings
from registry.transport import BodySource, Request, Response, Transport

_UNAUTHORIZED: Final = 401

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A question to a repository's registry.

    Attributes:
        method: the HTTP method.
        repository: whom to ask, and what a token must cover.
        path: what to ask for, below the API's base; or a whole URL that the registry handed out.
        headers: what to add to the request.
        content: the request's body.
        access: what the token must allow.
        expected: the statuses of a good answer.
        blob: the blob asked for, where the redirect to it is worth remembering.
    """

    method: str
    repository: Repository
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | BodySource | None = None
    access: Access = Access.PULL
    expected: frozenset[int] = frozenset({200})
    blob: Digest | None = None

    @property
    def scope(self) -> Scope:
        """What a token for this must cover."""
        return Scope(self.repository, self.access)


class Exchange:
    """Asks registries; shared by everything a client does."""

    def __init__(
        self,
        settings: ClientSettings,
        transport: Transport,
        authorizer: Authorizer,
        counters: Counters,
    ) -> None:
        self.settings = settings
        self._transport = transport
        self._authorizer = authorizer
        self._counters = counters
        self._redirects = RedirectMemory()

    async def retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Awaits an attempt, again after temporary failures; the last failure is raised."""
        failures = 0
        while True:
            try:
                return await attempt()
            except RegistryError as error:
                failures += 1
                await self.pause(error, failures=failures)

    async def pause(self, error: RegistryError, *, failures: int) -> None:
        """Waits as long as the next attempt should wait.

        Raises:
            RegistryError: the error itself, where there should be no further attempt.
        """
        pause = pause_before_retry(
            error,
            failures=failures,
            settings=self.settings,
            jitter=random.random(),  # noqa: S311 - spreads clients, hides nothing
        )
        if pause is None:
            raise error
        self._counters.retries += 1
        await trio.sleep(pause)

    @contextlib.asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Response]:
        """Asks once, and holds the answer open; it has one of the expected statuses.

        Raises:
            CredentialsError: the docker configuration is broken.
            RegistryError: there was no answer, or no good one.
        """
        response = await self._ask(call)
        try:
            if response.status not in call.expected:
                raise await self._refusal(call, response)
            self._remember(call, response)
            yield response
        except RegistryError:
            # Also what the reader of the body found out: the next attempt asks the registry itself.
            self._forget(call, response.url)
            raise
        finally:
            await response.aclose()

    async def _ask(self, call: Call) -> Response:
        target = call.blob and self._redirects.recall(call.repository, call.blob)
        if target:
            response = await self._ask_target(call, target)
            if response is not None:
                return response
        response = await self._ask_registry(call, self._url(call))
        hops = 0
        while response.status in REDIRECT_STATUSES and call.method in {"GET", "HEAD"}:
            hops += 1
            response = await self._follow(call, response, hops=hops)
        return response

    async def _ask_target(self, call: Call, target: str) -> Response | None:
        """Asks where the blob was found the last time; None where it must be looked for anew."""
        try:
            header = await self._authorization(call, target)
            response = await self._send(call, target, authorization=header)
        except UnreachableError:
            self._forget(call, target)
            return None
        if response.status in call.expected:
            return response
        self._forget(call, target)
        await response.discard()
        return None

    async def _ask_registry(self, call: Call, url: str) -> Response:
        host = call.repository.host
        async with self._authorizer.knocking(host):
            header = await self._authorization(call, url)
            response = await self._send(call, url, authorization=header)
            if not self._is_registry(call, url):
                return response
            self._authorizer.learn(host, response)
        if response.status != _UNAUTHORIZED:
            return response
        await response.discard()
        self._authorizer.reject(call.scope, header)
        renewed = await self._authorization(call, url)
        if renewed is None or renewed == header:
            return response
        return await self._send(call, url, authorization=renewed)

    async def _follow(self, call: Call, response: Response, *, hops: int) -> Response:
        await response.discard()
        target = resolve_url(response.url, response.header("Location") or "")
        if target is None or hops > MAX_HOPS:
            detail = "too many redirects" if target else "a redirect to nowhere"
            raise BadResponseError(response.host, url=response.url, detail=detail)
        return await self._send(call, target, authorization=await self._authorization(call, target))

    async def _send(self, call: Call, url: str, *, authorization: str | None = None) -> Response:
        headers = dict(call.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        return await self._transport.send(Request(call.method, url, headers, call.content))

    async def _authorization(self, call: Call, url: str) -> str | None:
        """Authorization is for the registry alone, wherever it sends us."""
        if not self._is_registry(call, url):
            return None
        return await self._authorizer.authorization(call.scope)

    async def _refusal(self, call: Call, response: Response) -> RegistryError:
        redirected = not self._is_registry(call, response.url)
        host = response.host if redirected else call.repository.host
        return await response.refusal(host=host, redirected=redirected)

    def _url(self, call: Call) -> str:
        return (
            self._transport.api_url(call.repository.host) + call.path
            if "://" not in call.path
            else call.path
        )

    def _is_registry(self, call: Call, url: str) -> bool:
        return origin(url) == origin(self._transport.api_url(call.repository.host))

    def _remember(self, call: Call, response: Response) -> None:
        if call.blob is not None and response.url != self._url(call):
            self._redirects.remember(call.repository, call.blob, response.url)

    def _forget(self, call: Call, url: str) -> None:
        if call.blob is not None:
            self._redirects.forget(call.repository, call.blob, url)
